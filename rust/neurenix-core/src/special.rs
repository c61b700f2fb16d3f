//! Gamma and Bessel functions and the inverse of erf, in double: too rare for polynomials that vectorise.
//!
//! The CUDA counterpart is `special.cuh`, step by step the same.

use std::f64::consts::PI;

/// The logarithmic derivative of the gamma function: recurrence up to 10, then the asymptotic series.
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.trunc() {
            return f64::NAN;
        }
        return digamma(1.0 - x) - PI / libm::tan(PI * (x - x.trunc()));
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let series = [-1.0 / 12.0, 691.0 / 32760.0, -1.0 / 132.0, 1.0 / 240.0, -1.0 / 252.0, 1.0 / 120.0, -1.0 / 12.0];
    let mut tail = 0.0;
    for c in series {
        tail = (tail + c) * z;
    }
    sum + libm::log(x) - 0.5 / x + tail
}

/// The derivative of [`digamma`].
pub fn trigamma(x: f64) -> f64 {
    if x < 0.5 {
        let s = libm::sin(PI * (x - x.round()));
        return PI * PI / (s * s) - trigamma(1.0 - x);
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < 12.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let series = [7.0 / 6.0, -691.0 / 2730.0, 5.0 / 66.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0];
    let mut tail = 0.0;
    for c in series {
        tail = (tail + c) * z;
    }
    sum + (1.0 + 0.5 / x + tail) / x
}

/// The number whose erf is `x`: a first guess (S. Winitzki's), then Halley's steps.
pub fn erfinv(x: f64) -> f64 {
    let t = x.abs();
    if t >= 1.0 || x == 0.0 || x.is_nan() {
        return if t == 1.0 {
            f64::INFINITY.copysign(x)
        } else if x == 0.0 {
            x
        } else {
            f64::NAN
        };
    }
    let l = libm::log1p(-t * t);
    let q = 2.0 / (PI * 0.147) + 0.5 * l;
    let mut y = ((q * q - l / 0.147).sqrt() - q).sqrt();
    for _ in 0..3 {
        // Where erf has almost reached 1, what is left of it tells more.
        let miss = if t < 0.5 { libm::erf(y) - t } else { (1.0 - t) - libm::erfc(y) };
        let step = miss / (std::f64::consts::FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// The number below which a standard normal number lies with probability `p`, by the same steps on erfc.
pub fn ndtri(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || p == 0.5 {
        return if p == 0.5 { 0.0 } else { f64::NAN };
    }
    let t = if p < 0.5 { p } else { 1.0 - p };
    if t == 0.0 {
        return if p < 0.5 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let l = libm::log(4.0 * t * (1.0 - t));
    let q = 2.0 / (PI * 0.147) + 0.5 * l;
    let mut y = ((q * q - l / 0.147).sqrt() - q).sqrt();
    for _ in 0..4 {
        let miss = 2.0 * t - libm::erfc(y);
        let step = miss / (std::f64::consts::FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    std::f64::consts::SQRT_2 * if p < 0.5 { -y } else { y }
}

/// exp(-|x|) I_n(x) of order 0 or 1: the power series, and beyond 30 the asymptotic one.
fn bessel(order: f64, x: f64) -> f64 {
    let t = x.abs();
    if t > 30.0 {
        let (mu, mut term, mut sum) = (4.0 * order, 1.0, 1.0);
        let mut k = 1.0;
        while k < 40.0 {
            let odd = 2.0 * k - 1.0;
            term *= -(mu - odd * odd) / (8.0 * t * k);
            sum += term;
            k += 1.0;
        }
        return sum / (2.0 * PI * t).sqrt();
    }
    let quarter = t * t * 0.25;
    let (mut term, mut sum) = (1.0, 1.0);
    let mut k = 1.0;
    while k < 100.0 {
        term *= quarter / (k * (k + order));
        sum += term;
        k += 1.0;
    }
    let lead = if order == 0.0 { 1.0 } else { 0.5 * t };
    lead * sum * libm::exp(-t)
}

/// exp(-|x|) times the modified Bessel function of order 0.
pub fn i0e(x: f64) -> f64 {
    bessel(0.0, x)
}

/// exp(-|x|) times the modified Bessel function of order 1.
pub fn i1e(x: f64) -> f64 {
    if x < 0.0 { -bessel(1.0, x) } else { bessel(1.0, x) }
}

/// The modified Bessel function of order 0.
pub fn i0(x: f64) -> f64 {
    i0e(x) * libm::exp(x.abs())
}

/// The modified Bessel function of order 1.
pub fn i1(x: f64) -> f64 {
    i1e(x) * libm::exp(x.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() <= 4e-15 * want.abs().max(1.0), "{got} is not {want}");
    }

    #[test]
    fn known_values() {
        near(digamma(1.0), -0.577_215_664_901_532_9);
        near(digamma(-0.5), 0.036_489_973_978_576_52);
        near(trigamma(1.0), PI * PI / 6.0);
        near(trigamma(-0.5), 8.934_802_200_544_679);
        near(erfinv(0.5), 0.476_936_276_204_469_9);
        near(erfinv(-0.999), -2.326_753_765_513_524_6);
        near(ndtri(1e-10), -6.361_340_902_404_056);
        near(ndtri(0.975), 1.959_963_984_540_054);
        near(i0(1.0), 1.266_065_877_752_008_4);
        near(i1(1.0), 0.565_159_103_992_485);
        near(i0e(40.0), 0.063_278_279_875_235_33);
        assert!(digamma(-2.0).is_nan() && erfinv(1.0).is_infinite() && erfinv(1.5).is_nan());
    }
}
