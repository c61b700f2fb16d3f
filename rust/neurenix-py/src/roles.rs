//! What an argument is to a kernel: its role decides how it is checked and what slice the kernel gets.
//!
//! The words are those of the Python table (`neurenix/backend/kernel.py`).

use std::cell::Cell;
use std::marker::PhantomData;

use neurenix_core::error::Error;
use neurenix_core::layout::AnyView;
use neurenix_core::view::{View, ViewMut};
use neurenix_core::{planning, threads};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::array::{Array, Kind};

/// A Rust element type and the array type it reads.
pub trait Element: Copy + 'static {
    /// Whether an array of this kind can be read as `Self`.
    fn reads(kind: Kind) -> bool;
}

macro_rules! element {
    ($($t:ty: $($kind:ident)|+;)*) => { $(impl Element for $t {
        fn reads(kind: Kind) -> bool { matches!(kind, $(Kind::$kind)|+) }
    })* };
}
// Unsigned integers also carry any elements of their size in kernels that only move bytes.
element! {
    f32: F32; f64: F64; i64: I64; i32: I32; i16: I16; i8: I8;
    half::f16: F16;
    u8: U8 | Bool | I8; u16: U16 | F16 | I16; u32: U32 | F32 | I32; u64: U64 | F64 | I64;
}

/// A refused argument of a row; the op above has let something through that it should not have.
pub struct Refusal(pub String);

type Taken<T> = Result<T, Refusal>;

/// Arrays of one call, read in order, and the checks between them.
pub struct Call<'a, 'py> {
    args: &'a [Bound<'py, PyAny>],
    next: usize,
    arrays: Vec<Array>,
    read: Vec<(usize, usize)>,
    written: Vec<(usize, usize)>,
}

impl<'a, 'py> Call<'a, 'py> {
    pub fn new(args: &'a [Bound<'py, PyAny>]) -> Self {
        Self { args, next: 0, arrays: Vec::with_capacity(args.len()), read: Vec::new(), written: Vec::new() }
    }

    /// The element type of the first array argument, which the row's `T` follows.
    pub fn kind(&self) -> Taken<Kind> {
        for object in self.args {
            if object.is_none() {
                continue;
            }
            if let Ok(list) = object.cast::<PyList>() {
                let first = list.get_item(0).map_err(|_| Refusal("expected a list with arrays, got an empty one".into()))?;
                return Array::read(&first).map(|a| a.kind).map_err(Refusal);
            }
            return Array::read(object).map(|a| a.kind).map_err(Refusal);
        }
        Err(Refusal("expected an array among the arguments".into()))
    }

    fn object(&mut self) -> Taken<&'a Bound<'py, PyAny>> {
        let object = self.args.get(self.next).ok_or_else(|| Refusal(format!("expected more than {} arguments", self.args.len())))?;
        self.next += 1;
        Ok(object)
    }

    fn array<T: Element>(&mut self, object: &Bound<'py, PyAny>, write: bool, dense: bool) -> Taken<Array> {
        let array = Array::read(object).map_err(Refusal)?;
        if !T::reads(array.kind) {
            return Err(Refusal(format!("expected elements of {}, got {}", std::any::type_name::<T>(), array.kind.name())));
        }
        if dense && !array.dense {
            return Err(Refusal("expected a dense array in C order".into()));
        }
        let span = array.span();
        if write {
            if !array.writable || array.repeats() {
                return Err(Refusal("expected a writable output whose elements are distinct".into()));
            }
            self.written.push(span);
        } else {
            self.read.push(span);
        }
        Ok(array)
    }

    /// Refuses an output that overlaps another argument, and arguments left over.
    pub fn finish(&self) -> Taken<()> {
        if self.next != self.args.len() {
            return Err(Refusal(format!("expected {} arguments, got {}", self.next, self.args.len())));
        }
        let overlap = |a: &(usize, usize), b: &(usize, usize)| a.0 < b.1 && b.0 < a.1;
        for (i, output) in self.written.iter().enumerate() {
            if self.read.iter().chain(&self.written[..i]).any(|other| overlap(output, other)) {
                return Err(Refusal("expected an output that overlaps no other array".into()));
            }
        }
        Ok(())
    }

    fn view<T: Element>(&mut self, object: &Bound<'py, PyAny>) -> Taken<View<'a, T>> {
        let array = self.array::<T>(object, false, false)?;
        let start = array.start;
        let (shape, strides) = self.keep(array);
        // SAFETY: NumPy keeps every position inside the array's memory, which the arguments keep alive.
        Ok(unsafe { View::new(start.cast(), shape, strides) })
    }

    fn keep(&mut self, array: Array) -> (&'a [usize], &'a [isize]) {
        // The boxes below outlive the call: they are dropped with `self`, after the kernel returned.
        let (shape, strides): (*const [usize], *const [isize]) = (&raw const *array.shape, &raw const *array.strides);
        self.arrays.push(array);
        // SAFETY: the vectors' heap memory does not move when `arrays` grows and lives until `self` is dropped.
        unsafe { (&*shape, &*strides) }
    }
}

/// How an argument is taken from a call; `T` is the row's element type.
pub trait Role<'a, T> {
    /// What the kernel gets.
    type Given;
    /// Reads and checks the next argument.
    fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given>;
}

fn slice<'a, T>(array: &Array) -> &'a [T] {
    if array.len() == 0 {
        return &[];
    }
    // SAFETY: a dense, aligned array of `len` elements that the caller's arguments keep alive during the call.
    unsafe { std::slice::from_raw_parts(array.start.cast(), array.len()) }
}

fn slice_mut<'a, T>(array: &Array) -> &'a mut [T] {
    if array.len() == 0 {
        return &mut [];
    }
    // SAFETY: as above; writable, and `Call::finish` refuses overlaps before the kernel runs.
    unsafe { std::slice::from_raw_parts_mut(array.start.cast(), array.len()) }
}

macro_rules! dense_role {
    ($($(#[$doc:meta])* $name:ident<$element:ident>: $given:ty, $write:literal, $slice:ident;)*) => { $(
        $(#[$doc])*
        pub struct $name;
        impl<'a, T: Element> Role<'a, T> for $name {
            type Given = $given;
            fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given> {
                let object = call.object()?;
                Ok($slice(&call.array::<$element>(object, $write, true)?))
            }
        }
        impl<'a, T: Element> Role<'a, T> for Optional<$name> {
            type Given = Option<$given>;
            fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given> {
                if call.args.get(call.next).is_some_and(|object| object.is_none()) {
                    call.next += 1;
                    return Ok(None);
                }
                <$name as Role<'a, T>>::take(call).map(Some)
            }
        }
    )* };
}

/// An argument that may be `None`.
pub struct Optional<R>(PhantomData<R>);

dense_role! {
    /// Read, dense, elements `T`.
    In<T>: &'a [T], false, slice;
    /// Written completely, dense.
    Out<T>: &'a mut [T], true, slice_mut;
    /// Read and written, dense.
    InOut<T>: &'a mut [T], true, slice_mut;
    /// Written, its contents meaningless before and after.
    Scratch<T>: &'a mut [T], true, slice_mut;
    /// int64, read.
    Index<i64>: &'a [i64], false, slice;
    /// int64, written.
    IndexOut<i64>: &'a mut [i64], true, slice_mut;
    /// bool, read.
    Mask<u8>: &'a [u8], false, slice;
    /// bool, written.
    MaskOut<u8>: &'a mut [u8], true, slice_mut;
    /// float64 whatever the row's element type: statistics, tables.
    Double<f64>: &'a [f64], false, slice;
    /// float64, written.
    DoubleOut<f64>: &'a mut [f64], true, slice_mut;
}

/// An array of any strides.
pub struct Strided<R>(PhantomData<R>);

macro_rules! strided_role {
    ($($name:ident<$element:ident>: $given:ident, $write:literal;)*) => { $(
        impl<'a, T: Element> Role<'a, T> for Strided<$name> {
            type Given = $given<'a, $element>;
            fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given> {
                let object = call.object()?;
                let array = call.array::<$element>(object, $write, false)?;
                let start = array.start;
                let (shape, strides) = call.keep(array);
                // SAFETY: NumPy keeps every position inside the array's memory, which the arguments keep alive.
                Ok(unsafe { $given::new(start.cast(), shape, strides) })
            }
        }
    )* };
}
strided_role! {
    In<T>: View, false;
    Out<T>: ViewMut, true;
    InOut<T>: ViewMut, true;
    Index<i64>: View, false;
    Mask<u8>: View, false;
    MaskOut<u8>: ViewMut, true;
}

/// A view of any element type, whatever the row's.
pub struct Other;

impl<'a, T: Element> Role<'a, T> for Strided<Other> {
    type Given = AnyView<'a>;
    fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given> {
        let object = call.object()?;
        let kind = Array::read(object).map_err(Refusal)?.kind;
        macro_rules! view {
            ($element:ty) => {
                call.view::<$element>(object)?
            };
        }
        Ok(match kind {
            Kind::F32 => AnyView::F32(view!(f32)),
            Kind::F64 => AnyView::F64(view!(f64)),
            Kind::F16 => AnyView::F16(view!(half::f16)),
            Kind::I64 => AnyView::I64(view!(i64)),
            Kind::I32 => AnyView::I32(view!(i32)),
            Kind::I16 => AnyView::I16(view!(i16)),
            Kind::I8 => AnyView::I8(view!(i8)),
            Kind::U8 | Kind::Bool => AnyView::U8(view!(u8)),
            Kind::U16 => AnyView::U16(view!(u16)),
            Kind::U32 => AnyView::U32(view!(u32)),
            Kind::U64 => AnyView::U64(view!(u64)),
        })
    }
}

/// A Python list of arrays of one role.
pub struct List<R>(PhantomData<R>);

macro_rules! list_role {
    ($($name:ident<$element:ident>: $given:ty, $write:literal, $slice:ident;)*) => { $(
        impl<'a, T: Element> Role<'a, T> for List<$name> {
            type Given = Vec<$given>;
            fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given> {
                let object = call.object()?;
                let list = object.cast::<PyList>().map_err(|_| Refusal(format!("expected a list of arrays, got {}", object.get_type())))?;
                list.iter().map(|item| Ok($slice(&call.array::<$element>(&item, $write, true)?))).collect()
            }
        }
    )* };
}
list_role! {
    In<T>: &'a [T], false, slice;
    Out<T>: &'a mut [T], true, slice_mut;
    InOut<T>: &'a mut [T], true, slice_mut;
}

macro_rules! value_role {
    ($($(#[$doc:meta])* $name:ident: $given:ty, $what:literal;)*) => { $(
        $(#[$doc])*
        pub struct $name;
        impl<'a, T> Role<'a, T> for $name {
            type Given = $given;
            fn take(call: &mut Call<'a, '_>) -> Taken<Self::Given> {
                let object = call.object()?;
                object.extract().map_err(|_| Refusal(format!(concat!("expected ", $what, ", got {}"), object)))
            }
        }
    )* };
}
value_role! {
    /// A size or offset that is never negative.
    Size: usize, "a size";
    /// A signed offset.
    Offset: isize, "an offset";
    /// A double.
    Real: f64, "a number";
    /// One of a few named ways, by number; the kernel's module lists them.
    Enum: usize, "a number of a way";
    /// A 64-bit key of the random number generator.
    Key: u64, "a 64-bit key";
}

fn exception(py: Python<'_>, name: &str, text: String) -> PyErr {
    match py.import("neurenix.errors").and_then(|errors| errors.getattr(name)).and_then(|class| class.call1((text.clone(),))) {
        Ok(value) => PyErr::from_value(value),
        Err(_) => PyRuntimeError::new_err(text),
    }
}

/// Our out-of-memory error.
pub fn memory_error(py: Python<'_>, bytes: usize) -> PyErr {
    exception(py, "OutOfMemoryError", format!("array: {}", Error::Memory { bytes }))
}

/// The Python exception of a kernel's refusal.
pub fn raise(py: Python<'_>, kernel: &str, error: Error) -> PyErr {
    match error {
        Error::Shape(text) => exception(py, "ShapeError", text),
        Error::DType(text) => exception(py, "DTypeError", text),
        Error::Argument(text) => exception(py, "ArgumentError", text),
        Error::Memory { .. } => exception(py, "OutOfMemoryError", format!("{kernel}: {error}")),
        Error::Stopped => SIGNAL.take().unwrap_or_else(|| PyKeyboardInterrupt::new_err(())),
    }
}

/// The Python exception of a row's refusal: a fault of ours, not of the user.
pub fn internal(py: Python<'_>, kernel: &str, refusal: Refusal) -> PyErr {
    exception(py, "InternalError", format!("internal: {kernel}: {}", refusal.0))
}

/// Whether a role's array is read and written: half a kernel would leave it wrong.
pub const fn is_in_place(role: &str) -> bool {
    let (text, word) = (role.as_bytes(), b"InOut");
    let mut start = 0;
    while start + word.len() <= text.len() {
        let mut i = 0;
        while i < word.len() && text[start + i] == word[i] {
            i += 1;
        }
        if i == word.len() {
            return true;
        }
        start += 1;
    }
    false
}

thread_local! {
    static SIGNAL: Cell<Option<PyErr>> = const { Cell::new(None) };
}

/// Lets Python handle its signals; whether a handler raised, as that of Ctrl-C does.
fn is_interrupted() -> bool {
    let seen = Python::try_attach(|py| py.check_signals().map_err(|error| SIGNAL.set(Some(error))).is_err());
    seen.unwrap_or(false)
}

/// Runs a kernel of a module without the GIL. One that changes no array in place stops between tasks where a signal's handler raises.
///
/// In a plan only convolutions run, without their tasks: theirs is the memory that grows with a map.
pub fn execute(py: Python<'_>, row: (&str, bool), kernel: impl FnOnce() -> Result<(), Error> + Send) -> Result<(), Error> {
    let (module, in_place) = row;
    if !planning::is_on() {
        return py.detach(|| guarded(|| if in_place { kernel() } else { threads::watched(is_interrupted, kernel) }));
    }
    match if module == "conv" { planning::in_kernel(|| guarded(kernel)) } else { Ok(()) } {
        Err(Error::Stopped) => Ok(()),
        result => result,
    }
}

/// Runs a kernel; a panic becomes an error.
fn guarded(f: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let _mode = neurenix_core::simd::FloatMode::ieee();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        if panic.is::<threads::Stop>() {
            return Err(Error::Stopped);
        }
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).into()));
        Err(Error::Argument(format!("internal: a kernel failed: {}", text.unwrap_or_default())))
    })
}
