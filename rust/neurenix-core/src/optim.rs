//! Optimizers: one call updates every parameter of a group, in place, in one pass over memory.
//!
//! Per element everything is independent, so runs of elements are shared out over threads without any effect on bits.
//! This file: SGD and the Adam family; [`crate::optim_more`] has the others.

use crate::error::Result;
use crate::simd::Float;
use crate::threads::{self, Shared};
use crate::{ensure_shape, levels};

/// Elements of one task.
const RUN: usize = 1 << 14;

/// The state arrays of an optimizer, one list a kind; an empty list where a kind is not used.
pub(crate) type States<'a, T, const S: usize> = [Vec<&'a mut [T]>; S];

/// Calls `f(p, g, states)` for runs of every parameter; states after the first `needed` may be unused: empty slices.
pub(crate) fn update<T: Float, const S: usize>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    states: States<'_, T, S>,
    needed: usize,
    f: impl Fn(&mut [T], &[T], [&mut [T]; S]) + Sync,
) -> Result {
    ensure_shape!(p.len() == g.len(), "optim: expected {} gradients, got {}", p.len(), g.len());
    for (i, (p, g)) in p.iter().zip(&g).enumerate() {
        ensure_shape!(p.len() == g.len(), "optim: expected {} elements in gradient {i}, got {}", p.len(), g.len());
    }
    for list in states.iter().enumerate().filter(|(i, list)| *i < needed || !list.is_empty()).map(|(_, list)| list) {
        let fits = list.len() == p.len() && list.iter().zip(&p).all(|(s, p)| s.len() == p.len());
        ensure_shape!(fits, "optim: expected a state of each parameter's size");
    }
    let tasks: Vec<(usize, usize, usize)> = p
        .iter()
        .enumerate()
        .flat_map(|(i, p)| {
            let len = p.len();
            (0..len).step_by(RUN).map(move |start| (i, start, RUN.min(len - start)))
        })
        .collect();
    let p: Vec<Shared<'_, T>> = p.into_iter().map(Shared::new).collect();
    let states: [Vec<Shared<'_, T>>; S] = states.map(|list| list.into_iter().map(Shared::new).collect());
    threads::parallel(tasks.len(), RUN, |task| {
        let (i, start, len) = tasks[task];
        let states = states.each_ref().map(|list| match list.get(i) {
            // SAFETY: tasks have runs of their own, and every array its own memory.
            Some(shared) => unsafe { shared.slice(start, len) },
            None => &mut [],
        });
        // SAFETY: as above.
        f(unsafe { p[i].slice(start, len) }, &g[i][start..start + len], states);
    });
    Ok(())
}

/// The gradient as rules use it: turned around to maximise, with weight decay added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gradient<T> {
    sign: T,
    decay: T,
}

impl<T: Float> Gradient<T> {
    pub(crate) fn new(maximize: usize, weight_decay: f64) -> Self {
        Self { sign: if maximize == 0 { T::ONE } else { -T::ONE }, decay: T::of(weight_decay) }
    }

    #[inline(always)]
    pub(crate) fn of(self, g: T, p: T) -> T {
        p.mul_add(self.decay, g * self.sign)
    }
}

struct Sgd<T> {
    gradient: Gradient<T>,
    lr: T,
    momentum: T,
    undamped: T,
    nesterov: bool,
    first: bool,
}

levels! {
    fn sgd_run<T: Float>(p: &mut [T], g: &[T], buffer: &mut [T], h: &Sgd<T>) {
        let n = p.len();
        let g = &g[..n];
        if buffer.is_empty() {
            for i in 0..n {
                p[i] = (-h.lr).mul_add(h.gradient.of(g[i], p[i]), p[i]);
            }
            return;
        }
        let buffer = &mut buffer[..n];
        for i in 0..n {
            let d = h.gradient.of(g[i], p[i]);
            let b = if h.first { d } else { h.momentum.mul_add(buffer[i], h.undamped * d) };
            buffer[i] = b;
            let d = if h.nesterov { h.momentum.mul_add(b, d) } else { b };
            p[i] = (-h.lr).mul_add(d, p[i]);
        }
    }
}

/// buffer = momentum * buffer + (1 - dampening) * g, the first time g; p -= lr * buffer (or g + momentum * buffer).
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn sgd<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    buffer: Vec<&mut [T]>,
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: usize,
    maximize: usize,
    first: usize,
) -> Result {
    let h = Sgd {
        gradient: Gradient::new(maximize, weight_decay),
        lr: T::of(lr),
        momentum: T::of(momentum),
        undamped: T::of(1.0 - dampening),
        nesterov: nesterov != 0,
        first: first != 0,
    };
    update(p, g, [buffer], 0, |p, g, [b]| sgd_run(p, g, b, &h))
}

struct Adam<T> {
    gradient: Gradient<T>,
    keep: T,
    step: T,
    beta1: T,
    beta2: T,
    inverse2: T,
    eps: T,
}

/// First and second moments moved towards the gradient.
#[inline(always)]
fn moments<T: Float>(h: &Adam<T>, d: T, m: &mut T, v: &mut T) {
    *m = (d - *m).mul_add(h.beta1, *m);
    *v = (d * d - *v).mul_add(h.beta2, *v);
}

levels! {
    fn adam_run<T: Float>(p: &mut [T], g: &[T], m: &mut [T], v: &mut [T], largest: &mut [T], h: &Adam<T>) {
        let n = p.len();
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        if largest.is_empty() {
            for i in 0..n {
                let d = h.gradient.of(g[i], p[i]);
                moments(h, d, &mut m[i], &mut v[i]);
                p[i] = p[i] * h.keep - h.step * m[i] / (v[i].sqrt() * h.inverse2 + h.eps);
            }
            return;
        }
        let largest = &mut largest[..n];
        for i in 0..n {
            let d = h.gradient.of(g[i], p[i]);
            moments(h, d, &mut m[i], &mut v[i]);
            largest[i] = if v[i] > largest[i] { v[i] } else { largest[i] };
            p[i] = p[i] * h.keep - h.step * m[i] / (largest[i].sqrt() * h.inverse2 + h.eps);
        }
    }
}

/// m += (1 - beta1) (g - m), v += (1 - beta2) (g^2 - v), p -= lr / correction1 * m / (sqrt(v / correction2) + eps).
///
/// Weight decay is added to g, or (`decoupled`) p shrinks by lr * weight_decay. With `largest` the running maximum of v divides.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn adam<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    m: Vec<&mut [T]>,
    v: Vec<&mut [T]>,
    largest: Vec<&mut [T]>,
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    correction1: f64,
    correction2: f64,
    decoupled: usize,
    maximize: usize,
) -> Result {
    let h = Adam {
        gradient: Gradient::new(maximize, if decoupled == 0 { weight_decay } else { 0.0 }),
        keep: T::of(if decoupled == 0 { 1.0 } else { 1.0 - lr * weight_decay }),
        step: T::of(lr / correction1),
        beta1: T::of(1.0 - beta1),
        beta2: T::of(1.0 - beta2),
        inverse2: T::of(1.0 / correction2.sqrt()),
        eps: T::of(eps),
    };
    update(p, g, [m, v, largest], 2, |p, g, [m, v, largest]| adam_run(p, g, m, v, largest, &h))
}

levels! {
    fn nadam_run<T: Float>(p: &mut [T], g: &[T], m: &mut [T], v: &mut [T], h: &Adam<T>, by_gradient: T) {
        let n = p.len();
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        for i in 0..n {
            let d = h.gradient.of(g[i], p[i]);
            moments(h, d, &mut m[i], &mut v[i]);
            p[i] = p[i] * h.keep - by_gradient.mul_add(d, h.step * m[i]) / (v[i].sqrt() * h.inverse2 + h.eps);
        }
    }
}

/// Adam's moments; p -= (by_gradient * g + by_moment * m) / (sqrt(v / correction2) + eps): NAdam's and RAdam's step.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn nadam<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    m: Vec<&mut [T]>,
    v: Vec<&mut [T]>,
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    by_gradient: f64,
    by_moment: f64,
    correction2: f64,
    decoupled: usize,
    maximize: usize,
) -> Result {
    let h = Adam {
        gradient: Gradient::new(maximize, if decoupled == 0 { weight_decay } else { 0.0 }),
        keep: T::of(if decoupled == 0 { 1.0 } else { 1.0 - lr * weight_decay }),
        step: T::of(by_moment),
        beta1: T::of(1.0 - beta1),
        beta2: T::of(1.0 - beta2),
        inverse2: T::of(1.0 / correction2.sqrt()),
        eps: T::of(eps),
    };
    update(p, g, [m, v], 2, |p, g, [m, v]| nadam_run(p, g, m, v, &h, T::of(by_gradient)))
}

levels! {
    fn adamax_run<T: Float>(p: &mut [T], g: &[T], m: &mut [T], largest: &mut [T], h: &Adam<T>) {
        let n = p.len();
        let (g, m, largest) = (&g[..n], &mut m[..n], &mut largest[..n]);
        for i in 0..n {
            let d = h.gradient.of(g[i], p[i]);
            m[i] = (d - m[i]).mul_add(h.beta1, m[i]);
            let (old, new) = (h.beta2 * largest[i], d.abs() + h.eps);
            largest[i] = if new > old { new } else { old };
            p[i] = p[i] - h.step * m[i] / largest[i];
        }
    }
}

/// m += (1 - beta1) (g - m), u = max(beta2 u, |g| + eps), p -= lr / correction1 * m / u.
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn adamax<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    m: Vec<&mut [T]>,
    largest: Vec<&mut [T]>,
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    correction1: f64,
    maximize: usize,
) -> Result {
    let h = Adam {
        gradient: Gradient::new(maximize, weight_decay),
        keep: T::ONE,
        step: T::of(lr / correction1),
        beta1: T::of(1.0 - beta1),
        beta2: T::of(beta2),
        inverse2: T::ONE,
        eps: T::of(eps),
    };
    update(p, g, [m, largest], 2, |p, g, [m, largest]| adamax_run(p, g, m, largest, &h))
}

levels! {
    fn lion_run<T: Float>(p: &mut [T], g: &[T], m: &mut [T], h: &Adam<T>) {
        let n = p.len();
        let (g, m) = (&g[..n], &mut m[..n]);
        for i in 0..n {
            let d = g[i] * h.gradient.sign;
            let towards = (d - m[i]).mul_add(h.beta1, m[i]);
            let step = if towards > T::ZERO { h.step } else { T::ZERO };
            let step = if towards < T::ZERO { -h.step } else { step };
            p[i] = p[i] * h.keep - step;
            m[i] = (d - m[i]).mul_add(h.beta2, m[i]);
        }
    }
}

/// p = p (1 - lr * weight_decay) - lr * sign(beta1 m + (1 - beta1) g), then m += (1 - beta2) (g - m).
///
/// # Errors
/// [`crate::error::Error::Shape`] for lists that do not fit.
pub fn lion<T: Float>(
    p: Vec<&mut [T]>,
    g: Vec<&[T]>,
    m: Vec<&mut [T]>,
    lr: f64,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    maximize: usize,
) -> Result {
    let h = Adam {
        gradient: Gradient::new(maximize, 0.0),
        keep: T::of(1.0 - lr * weight_decay),
        step: T::of(lr),
        beta1: T::of(1.0 - beta1),
        beta2: T::of(1.0 - beta2),
        inverse2: T::ONE,
        eps: T::ZERO,
    };
    update(p, g, [m], 1, |p, g, [m]| lion_run(p, g, m, &h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sgd_by_hand() {
        let (mut p, g, mut b) = ([1.0f64, 2.0], [0.5, -1.0], [0.0; 2]);
        sgd(vec![&mut p], vec![&g], vec![&mut b], 0.1, 0.9, 0.0, 0.0, 0, 0, 1).unwrap();
        sgd(vec![&mut p], vec![&g], vec![&mut b], 0.1, 0.9, 0.0, 0.0, 0, 0, 0).unwrap();
        assert!((p[0] - (1.0 - 0.05 - 0.095)).abs() < 1e-15 && (b[1] + 1.9).abs() < 1e-15);
    }

    #[test]
    fn refuses_lists_that_do_not_fit() {
        let (mut p, g) = ([1.0f32; 2], [1.0f32; 3]);
        assert!(sgd(vec![&mut p], vec![&g], vec![], 0.1, 0.0, 0.0, 0.0, 0, 0, 1).is_err());
    }
}
