//! exp, log, tanh, erf and their kin: our own polynomials, so that every machine and instruction set gives the same bits.
//!
//! All are written without branches, so loops over them vectorise. Errors stay within 2 units in the last place (tests
//! below); infinities, NaN and denormals are handled. Functions too rare to be worth a polynomial go through `libm`.

use crate::simd::Float;

/// What of a float's bits the functions need, and the lengths of the series for its precision.
pub trait Bits: Float {
    /// Adding and subtracting it rounds to an integer, which then stands in the low bits.
    const MAGIC: Self;
    /// ln 2, in two parts: rounded, and what is missing.
    const LN2: (Self, Self);
    /// ln 2 in two parts, the first with so few bits that an exponent times it is exact.
    const LN2_SHORT: (Self, Self);
    /// Beyond these, exp is zero or infinite.
    const EXP_RANGE: (Self, Self);
    /// Terms of exp's and of log's series.
    const TERMS: (usize, usize);
    /// Bits of the fraction.
    const FRACTION: i32;
    /// The factors 2^(n/2) and 2^(n - n/2) for `t = MAGIC + n`.
    fn powers(t: Self) -> (Self, Self);
    /// The number in [sqrt(1/2), sqrt(2)) and the exponent whose power of two give a positive finite `self`.
    fn split(self) -> (Self, Self);
    /// The magnitude of `self` with the sign of `sign`.
    fn with_sign(self, sign: Self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// The error function of each, where that gains step by step side by side, as in [`Math::exps_`].
    #[inline(always)]
    fn erfs<const N: usize>(x: [Self; N]) -> [Self; N] {
        let mut y = x;
        for i in 0..N {
            y[i] = x[i].erf();
        }
        y
    }
    /// `self` to the power `y`, by C's rules.
    fn power(self, y: Self) -> Self;
}

macro_rules! bits {
    ($t:ident, $i:ident, $u:ident, $fraction:literal, $root_half:literal, $mask:literal, $magic:literal, $bias:literal) => {
        const MAGIC: Self = $magic;
        const FRACTION: i32 = $fraction;
        #[inline(always)]
        fn powers(t: Self) -> (Self, Self) {
            let n = (t.to_bits() as $i).wrapping_sub(Self::MAGIC.to_bits() as $i);
            let half = n >> 1;
            let power = |k: $i| Self::from_bits((k.wrapping_add($bias) as $u) << $fraction);
            (power(half), power(n.wrapping_sub(half)))
        }
        #[inline(always)]
        fn split(self) -> (Self, Self) {
            let denormal = self < Self::MIN_POSITIVE;
            let scaled = if denormal { self * ((1 as $u) << $fraction) as Self } else { self };
            let bits = scaled.to_bits().wrapping_sub($root_half);
            let exponent = (bits as $i) >> $fraction;
            let m = Self::from_bits((bits & $mask).wrapping_add($root_half));
            let e = Self::from_bits((Self::MAGIC.to_bits() as $i).wrapping_add(exponent) as $u) - Self::MAGIC;
            (m, if denormal { e - $fraction as Self } else { e })
        }
        #[inline(always)]
        fn with_sign(self, sign: Self) -> Self {
            self.copysign(sign)
        }
    };
}

/// `c[0] + c[1] x + c[2] x^2 + ...`; a plain loop, which the compiler unrolls where it is used.
#[inline(always)]
fn polynomial<T: Float>(x: T, c: &[f64]) -> T {
    let mut k = c.len() - 1;
    let mut sum = T::of(c[k]);
    while k > 0 {
        k -= 1;
        sum = sum.mul_add(x, T::of(c[k]));
    }
    sum
}

impl Bits for f32 {
    const LN2: (Self, Self) = (std::f32::consts::LN_2, -1.904_654_3e-9);
    const LN2_SHORT: (Self, Self) = (0.693_138_1, 9.058_001e-6);
    const EXP_RANGE: (Self, Self) = (-104.0, 89.0);
    const TERMS: (usize, usize) = (6, 5);
    bits!(f32, i32, u32, 23, 0x3f35_04f3, 0x007f_ffff, 12_582_912.0, 127);

    #[inline(always)]
    fn erf(self) -> Self {
        let [y] = Self::erfs([self]);
        y
    }

    /// Two polynomials, `x + x p(x^2)` and `1 - exp(-q(|x|))`, each within 1 unit in the last place. From 4.5 on the second is 1, and
    /// up to there `exp` stays in its range.
    #[inline(always)]
    fn erfs<const N: usize>(x: [Self; N]) -> [Self; N] {
        let (mut t, mut s, mut q, mut r, mut v) = (x, x, x, x, x);
        for i in 0..N {
            t[i] = x[i].abs();
            t[i] = if t[i] > 4.5 { 4.5 } else { t[i] };
            s[i] = t[i] * t[i];
        }
        for i in 0..N {
            let low = polynomial(t[i], &[2.425_462_2e-2, -3.883_964_4e-3]);
            let high = polynomial(t[i], &[3.831_971_3e-4, -1.728_534_7e-5]);
            v[i] = polynomial(t[i], &[-1.287_175_1e-1, -6.348_467e-1, -1.067_778_8e-1]) + high.mul_add(s[i], low) * t[i] * s[i];
        }
        for i in 0..N {
            v[i] = v[i].mul_add(t[i], -t[i]);
            q[i] = v[i].mul_add(std::f32::consts::LOG2_E, Self::MAGIC);
            let n = q[i] - Self::MAGIC;
            r[i] = n.mul_add(-Self::LN2.1, n.mul_add(-Self::LN2.0, v[i]));
        }
        let (mut k, terms) = (ERF_NEAR_SINGLE.len() - 1, &EXP[..Self::TERMS.0]);
        let (mut p, mut near) = ([terms[k] as Self; N], [ERF_NEAR_SINGLE[k] as Self; N]);
        while k > 0 {
            k -= 1;
            for i in 0..N {
                p[i] = p[i].mul_add(r[i], terms[k] as Self);
                near[i] = near[i].mul_add(s[i], ERF_NEAR_SINGLE[k] as Self);
            }
        }
        for i in 0..N {
            let power = Self::from_bits(q[i].to_bits().wrapping_sub(Self::MAGIC.to_bits()).wrapping_add(127) << 23);
            let far = (1.0 - (1.0 + (r[i] * r[i]).mul_add(p[i], r[i])) * power).copysign(x[i]);
            v[i] = if t[i] > 0.927_734_4 { far } else { near[i].mul_add(x[i], x[i]) };
        }
        v
    }

    /// exp(y log x) in double, which leaves the rounding to this type as the only error worth naming.
    #[inline(always)]
    fn power(self, y: Self) -> Self {
        let (x, y) = (f64::from(self), f64::from(y));
        let r = (y * x.abs().ln_()).exp_();
        let (whole, half) = (y.round_even() == y, 0.5 * y);
        let r = if whole && half.floor() != half { r.copysign(x) } else { r };
        let r = if x < 0.0 && x > f64::NEG_INFINITY && !whole { f64::NAN } else { r };
        let one = y == 0.0 || x == 1.0 || (x == -1.0 && y.abs() == f64::INFINITY);
        if one { 1.0 } else { r as Self }
    }
}

/// erf(x) / x - 1 in powers of x^2, for float32 and |x| below 0.93.
const ERF_NEAR_SINGLE: [f64; 6] = [1.283_791_7e-1, -3.761_253_4e-1, 1.128_199_25e-1, -2.676_813_5e-2, 4.991_194e-3, -5.967_617e-4];
/// erf(x) / x - 1 in powers of x^2: the Taylor series, for |x| below 0.9.
const ERF_NEAR: [f64; 20] = [
    0.12837916709551256,
    -0.37612638903183754,
    0.11283791670955126,
    -0.026866170645131252,
    0.005223977625442188,
    -0.0008548327023450852,
    0.00012055332981789664,
    -1.492565035840625e-05,
    1.6462114365889246e-06,
    -1.6365844691234924e-07,
    1.4807192815879218e-08,
    -1.2290555301717926e-09,
    9.422759064650411e-11,
    -6.7113668551641105e-12,
    4.4632242632864775e-13,
    -2.7835162072109212e-14,
    1.6342614095367152e-15,
    -9.063970842808673e-17,
    4.763348040515068e-18,
    -2.3784598852774293e-19,
];
/// -log(1 - erf(x)) in powers of (x - 3.45) / 2.55: interpolated at Chebyshev points of [0.9, 6].
const ERF_FAR: [f64; 27] = [
    13.751548646652532,
    18.282132987892282,
    6.281128332507251,
    0.08960807119892601,
    -0.03853811686383858,
    0.016692974205647353,
    -0.007090636268680672,
    0.0028963998632907805,
    -0.0011138316521631048,
    0.00039008173473962984,
    -0.00011570102753610555,
    2.2340366655500316e-05,
    3.5457780652133476e-06,
    -7.257886480207644e-06,
    5.338262301940258e-06,
    -2.998675796011016e-06,
    1.4373472440925545e-06,
    -6.171273688250116e-07,
    2.1799785823062638e-07,
    -2.7374527063692212e-08,
    -1.6140051650020096e-08,
    -4.655367196411081e-09,
    1.163707022953972e-09,
    1.3949257627252485e-08,
    -8.687200681326548e-09,
    -1.6922514135980736e-10,
    8.318641960645072e-10,
];

impl Bits for f64 {
    const LN2: (Self, Self) = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
    const LN2_SHORT: (Self, Self) = (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10);
    const EXP_RANGE: (Self, Self) = (-746.0, 710.0);
    const TERMS: (usize, usize) = (12, 10);
    bits!(f64, i64, u64, 52, 0x3fe6_a09e_667f_3bcd, 0x000f_ffff_ffff_ffff, 6_755_399_441_055_744.0, 1023);

    #[inline(always)]
    fn erf(self) -> Self {
        let t = self.abs();
        let near = polynomial(self * self, &ERF_NEAR).mul_add(self, self);
        let u = (if t > 6.0 { 6.0 } else { t } - 3.45) / 2.55;
        let far = (1.0 - (-polynomial(u, &ERF_FAR)).exp_()).copysign(self);
        if t > 0.9 { far } else { near }
    }

    #[inline(always)]
    fn power(self, y: Self) -> Self {
        libm::pow(self, y)
    }
}

/// -1/3!, 1/5!, ...: sin(t) / t - 1 in powers of t^2, from t^2 on.
const SIN: [f64; 7] =
    [-1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0, -1.0 / 39_916_800.0, 1.0 / 6_227_020_800.0, -1.0 / 1_307_674_368_000.0];
/// 1/4!, -1/6!, ...: cos(t) - 1 + t^2 / 2 in powers of t^2, from t^4 on.
const COS: [f64; 7] = [
    1.0 / 24.0,
    -1.0 / 720.0,
    1.0 / 40_320.0,
    -1.0 / 3_628_800.0,
    1.0 / 479_001_600.0,
    -1.0 / 87_178_291_200.0,
    1.0 / 20_922_789_888_000.0,
];

/// Sine and cosine of `v` turns, `v` in [0, 1].
#[inline(always)]
pub fn sin_cos_turns(v: f64) -> (f64, f64) {
    let n = (4.0 * v).round_even();
    let t = std::f64::consts::TAU * (v - 0.25 * n);
    let z = t * t;
    let sin = (t * z).mul_add(polynomial(z, &SIN), t);
    let cos = (z * z).mul_add(polynomial(z, &COS), 1.0 - 0.5 * z);
    let odd = n == 1.0 || n == 3.0;
    let (a, b) = (if odd { cos } else { sin }, if odd { sin } else { cos });
    (if n == 2.0 || n == 3.0 { -a } else { a }, if n == 1.0 || n == 2.0 { -b } else { b })
}

/// 1/2!, 1/3!, ...: exp without its first two terms.
const EXP: [f64; 12] = {
    let mut c = [0.0; 12];
    let (mut k, mut factorial) = (0, 1.0);
    while k < 12 {
        factorial *= (k + 2) as f64;
        c[k] = 1.0 / factorial;
        k += 1;
    }
    c
};

/// 2/3, 2/5, ...: log((1 + s) / (1 - s)) in powers of s^2, without its first term.
const LOG: [f64; 10] = {
    let mut c = [0.0; 10];
    let mut k = 0;
    while k < 10 {
        c[k] = 2.0 / (2 * k + 3) as f64;
        k += 1;
    }
    c
};

/// The functions themselves; a trailing underscore sets them apart from the platform's.
pub trait Math: Bits {
    /// e to the power `self`, in parts: `p` and the factors whose product with `1 + p` it is.
    #[inline(always)]
    fn exp_parts(self, low: Self, high: Self) -> (Self, Self, Self) {
        let x = if self < low { low } else { self };
        let x = if x > high { high } else { x };
        let t = x.mul_add(Self::of(std::f64::consts::LOG2_E), Self::MAGIC);
        let n = t - Self::MAGIC;
        let r = n.mul_add(-Self::LN2.1, n.mul_add(-Self::LN2.0, x));
        let p = (r * r).mul_add(polynomial(r, &EXP[..Self::TERMS.0]), r);
        let (a, b) = Self::powers(t);
        (p, a, b)
    }
    /// e to the power `self`.
    #[inline(always)]
    fn exp_(self) -> Self {
        let (p, a, b) = self.exp_parts(Self::EXP_RANGE.0, Self::EXP_RANGE.1);
        (Self::ONE + p) * a * b
    }
    /// e to the power of each, step by step side by side: where a processor waits for one, it has the others to do.
    #[inline(always)]
    fn exps_<const N: usize>(x: [Self; N]) -> [Self; N] {
        let (mut t, mut r, c) = (x, x, &EXP[..Self::TERMS.0]);
        for i in 0..N {
            let v = if x[i] < Self::EXP_RANGE.0 { Self::EXP_RANGE.0 } else { x[i] };
            r[i] = if v > Self::EXP_RANGE.1 { Self::EXP_RANGE.1 } else { v };
            t[i] = r[i].mul_add(Self::of(std::f64::consts::LOG2_E), Self::MAGIC);
        }
        for i in 0..N {
            let n = t[i] - Self::MAGIC;
            r[i] = n.mul_add(-Self::LN2.1, n.mul_add(-Self::LN2.0, r[i]));
        }
        let (mut k, mut y) = (c.len() - 1, [Self::of(c[c.len() - 1]); N]);
        while k > 0 {
            k -= 1;
            for i in 0..N {
                y[i] = y[i].mul_add(r[i], Self::of(c[k]));
            }
        }
        for i in 0..N {
            let (a, b) = Self::powers(t[i]);
            y[i] = (Self::ONE + (r[i] * r[i]).mul_add(y[i], r[i])) * a * b;
        }
        y
    }
    /// `exp(self) - 1` without cancellation.
    #[inline(always)]
    fn expm1_(self) -> Self {
        let (p, a, b) = self.exp_parts(Self::of(-40.0), Self::EXP_RANGE.1);
        // Half of the power of two, which itself may be beyond the range.
        let half = a * Self::of(0.5) * b;
        let y = half.mul_add(p, half - Self::of(0.5));
        let y = y + y;
        if self.abs() < Self::EPSILON { self } else { y }
    }
    /// Natural logarithm.
    #[inline(always)]
    fn ln_(self) -> Self {
        let (m, e) = self.split();
        let f = m - Self::ONE;
        let s = f / (Self::of(2.0) + f);
        let half_square = Self::of(0.5) * f * f;
        let z = s * s;
        let r = z * polynomial(z, &LOG[..Self::TERMS.1]);
        let y = e * Self::LN2_SHORT.0 - ((half_square - s.mul_add(half_square + r, e * Self::LN2_SHORT.1)) - f);
        let y = if self == Self::ZERO { Self::LOWEST } else { y };
        let y = if self == Self::HIGHEST { self } else { y };
        if self >= Self::ZERO { y } else { Self::NAN }
    }
    /// `log(1 + self)` without cancellation.
    #[inline(always)]
    fn ln_1p_(self) -> Self {
        let u = Self::ONE + self;
        let y = u.ln_() + (self - (u - Self::ONE)) / u;
        let y = if u == Self::ONE { self } else { y };
        let y = if u == Self::ZERO { Self::LOWEST } else { y };
        if self == Self::HIGHEST { self } else { y }
    }
    /// Logarithm to base 2; exact on powers of two.
    #[inline(always)]
    fn log2_(self) -> Self {
        let (m, e) = self.split();
        let y = m.ln_().mul_add(Self::of(std::f64::consts::LOG2_E), e);
        if self > Self::ZERO && self < Self::HIGHEST { y } else { self.ln_() }
    }
    /// Logarithm to base 10.
    #[inline(always)]
    fn log10_(self) -> Self {
        let (m, e) = self.split();
        let small = m.ln_() * Self::of(std::f64::consts::LOG10_E);
        let y = e.mul_add(Self::of(std::f64::consts::LOG10_2), small);
        if self > Self::ZERO && self < Self::HIGHEST { y } else { self.ln_() }
    }
    /// Hyperbolic tangent.
    #[inline(always)]
    fn tanh_(self) -> Self {
        let x = self.abs();
        let x = if x > Self::of(20.0) { Self::of(20.0) } else { x };
        let t = (x + x).expm1_();
        (t / (t + Self::of(2.0))).with_sign(self)
    }
    /// `1 / (1 + exp(-self))`
    #[inline(always)]
    fn sigmoid_(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp_())
    }
    /// `self` to the power `y`.
    #[inline(always)]
    fn pow_(self, y: Self) -> Self {
        self.power(y)
    }
    /// A function of doubles, rounded to this type.
    #[inline(always)]
    fn rare(self, f: fn(f64) -> f64) -> Self {
        Self::of(f(self.to_f64()))
    }
}

impl<T: Bits> Math for T {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error in units in the last place over a sweep.
    fn worst<T: Math>(xs: impl Iterator<Item = f64>, f: fn(T) -> T, exact: fn(f64) -> f64) -> f64 {
        xs.map(|x| T::of(x)).fold(0.0, |worst: f64, x| {
            let want = exact(x.to_f64());
            let scale = (want.abs() * T::EPSILON.to_f64()).max(f64::MIN_POSITIVE) / 2.0;
            worst.max((f(x).to_f64() - want).abs() / scale)
        })
    }

    fn sweep(low: f64, high: f64) -> impl Iterator<Item = f64> {
        (0..20_001).map(move |i| low + (high - low) * f64::from(i) / 20_000.0)
    }

    fn accurate<T: Math>() {
        // The reference itself is off by half a unit in double.
        let within = |name: &str, error: f64| assert!(error < 4.2, "{name}: {error} half units");
        within("exp", worst::<T>(sweep(-80.0, 80.0), T::exp_, libm::exp));
        within("expm1", worst::<T>(sweep(-5.0, 5.0), T::expm1_, libm::expm1));
        within("log", worst::<T>(sweep(1e-3, 50.0), T::ln_, libm::log));
        within("log near 1", worst::<T>(sweep(0.9, 1.1), T::ln_, libm::log));
        within("log1p", worst::<T>(sweep(-0.9, 3.0), T::ln_1p_, libm::log1p));
        within("log2", worst::<T>(sweep(1e-3, 50.0), T::log2_, libm::log2));
        within("log10", worst::<T>(sweep(1e-3, 50.0), T::log10_, libm::log10));
        within("tanh", worst::<T>(sweep(-12.0, 12.0), T::tanh_, libm::tanh));
        within("sigmoid", worst::<T>(sweep(-30.0, 30.0), T::sigmoid_, |x| 1.0 / (1.0 + libm::exp(-x))));
        within("erf", worst::<T>(sweep(-7.0, 7.0), T::erf, libm::erf));
    }

    #[test]
    fn exponentials_side_by_side_have_the_same_bits() {
        for x in sweep(-110.0, 95.0).map(|x| x as f32).chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]) {
            let [a, b] = f32::exps_([x, -x]);
            assert_eq!((a.to_bits(), b.to_bits()), (x.exp_().to_bits(), (-x).exp_().to_bits()), "{x}");
            assert_eq!(f64::exps_([f64::from(x)])[0].to_bits(), f64::from(x).exp_().to_bits(), "{x}");
        }
    }

    #[test]
    fn errors_stay_within_two_units() {
        accurate::<f32>();
        accurate::<f64>();
    }

    #[test]
    fn powers_are_those_of_c() {
        let edges = [0.0f32, 1.0, 2.0, 3.0, 0.5, 0.3, 1e-40, 3e38, f32::INFINITY, 1e9, 16_777_217.0, 7.5];
        let numbers: Vec<f32> = edges.iter().flat_map(|&v| [v, -v]).chain([f32::NAN]).collect();
        for &x in &numbers {
            for &y in &numbers {
                let (ours, want) = (x.pow_(y), libm::pow(f64::from(x), f64::from(y)) as f32);
                let same = ours.to_bits() == want.to_bits() || (ours.is_nan() && want.is_nan());
                assert!(same, "{x} ** {y}: {ours}, not {want}");
            }
        }
        let mut differ = 0;
        for (i, x) in sweep(1e-3, 20.0).enumerate() {
            let (x, y) = (x as f32, (i % 97) as f32 / 16.0 - 3.0);
            let (ours, want) = (x.pow_(y), libm::pow(f64::from(x), f64::from(y)) as f32);
            assert!(ours.to_bits().abs_diff(want.to_bits()) <= 1);
            differ += usize::from(ours != want);
        }
        assert!(differ <= 1, "{differ}");
    }

    #[test]
    fn turns() {
        for v in sweep(0.0, 1.0) {
            let (sin, cos) = sin_cos_turns(v);
            let (s, c) = libm::sincos(std::f64::consts::TAU * v);
            assert!((sin - s).abs() < 1e-15 && (cos - c).abs() < 1e-15, "{v}");
        }
        assert_eq!([sin_cos_turns(0.25), sin_cos_turns(0.5), sin_cos_turns(1.0)], [(1.0, -0.0), (-0.0, -1.0), (0.0, 1.0)]);
    }

    #[test]
    fn edges() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!((inf.exp_(), (-inf).exp_(), 89.0f32.exp_(), (-110.0f32).exp_()), (inf, 0.0, inf, 0.0));
        assert!(nan.exp_().is_nan() && nan.ln_().is_nan() && (-1.0f32).ln_().is_nan() && nan.tanh_().is_nan());
        assert_eq!((0.0f32.ln_(), inf.ln_(), (-1.0f32).ln_1p_(), inf.ln_1p_()), (-inf, inf, -inf, inf));
        assert_eq!((inf.expm1_(), (-inf).expm1_(), inf.tanh_(), (-inf).tanh_(), inf.erf()), (inf, -1.0, 1.0, -1.0, 1.0));
        assert!((1e-40f32.ln_() - 1e-40f32.ln()).abs() < 1e-5 && (-100.0f32).exp_() > 0.0);
        assert_eq!((8.0f64.log2_(), 5e-324f64.log2_()), (3.0, -1074.0));
        assert_eq!((f64::INFINITY.exp_(), (-745.2f64).exp_(), f64::NEG_INFINITY.erf()), (f64::INFINITY, 0.0, -1.0));
        assert!(f64::NAN.erf().is_nan() && nan.erf().is_nan() && nan.sigmoid_().is_nan());
    }
}
