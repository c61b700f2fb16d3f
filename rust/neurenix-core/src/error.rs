//! What a kernel answers when it cannot do what it was asked.

use std::fmt;

/// A refusal; the binding turns each kind into one Python exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A size does not fit the others.
    Shape(String),
    /// An array has the wrong element type.
    DType(String),
    /// A value is outside what the kernel accepts.
    Argument(String),
    /// Memory could not be had; `bytes` were asked for.
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// Left unfinished: somebody asked to stop, or it was a plan.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(text) | Self::DType(text) | Self::Argument(text) => f.write_str(text),
            Self::Memory { bytes } => write!(
                f,
                "expected {bytes} bytes ({:.1} MiB) of memory, got none; use a smaller batch, tile or checkpointing",
                *bytes as f64 / (1 << 20) as f64
            ),
            Self::Stopped => f.write_str("expected to run to its end, was stopped; run it again"),
        }
    }
}

impl std::error::Error for Error {}

/// What every kernel returns.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// `Err(Error::Shape(...))` unless the condition holds.
#[macro_export]
macro_rules! ensure_shape {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::error::Error::Shape(format!($($text)+)));
        }
    };
}

/// `Err(Error::Argument(...))` unless the condition holds.
#[macro_export]
macro_rules! ensure_argument {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::error::Error::Argument(format!($($text)+)));
        }
    };
}

/// The product of sizes, refused when it does not fit memory.
///
/// # Errors
/// [`Error::Shape`] when the product passes `isize::MAX`.
pub fn product(what: &str, sizes: &[usize]) -> Result<usize> {
    let mut total: usize = 1;
    if sizes.contains(&0) {
        return Ok(0);
    }
    for &size in sizes {
        total = match total.checked_mul(size) {
            Some(value) if value <= isize::MAX as usize => value,
            _ => return Err(Error::Shape(format!("{what}: expected sizes whose product fits memory, got {sizes:?}"))),
        };
    }
    Ok(total)
}

/// Refuses a slice whose length is not the product of `sizes`.
///
/// # Errors
/// [`Error::Shape`] that names the slice, the sizes and the length.
pub fn expect_len(what: &str, len: usize, sizes: &[usize]) -> Result {
    let wanted = product(what, sizes)?;
    ensure_shape!(len == wanted, "{what}: expected {wanted} elements {sizes:?}, got {len}");
    Ok(())
}

/// A vector of `len` copies of `value`, or the memory error instead of an abort.
///
/// # Errors
/// [`Error::Memory`].
pub fn try_vec<T: Copy>(len: usize, value: T) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(len).map_err(|_| Error::Memory { bytes: len.saturating_mul(size_of::<T>()) })?;
    vector.resize(len, value);
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_refuses_overflow_and_accepts_zero() {
        assert_eq!(product("x", &[2, 3, 4]), Ok(24));
        assert_eq!(product("x", &[usize::MAX, 0]), Ok(0));
        assert!(matches!(product("x", &[usize::MAX, 2]), Err(Error::Shape(_))));
    }

    #[test]
    fn try_vec_reports_what_cannot_be_had() {
        assert_eq!(try_vec(isize::MAX as usize / 2, 0.0f64), Err(Error::Memory { bytes: (isize::MAX as usize / 2).saturating_mul(8) }));
    }
}
