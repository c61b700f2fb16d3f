//! NumPy arrays as kernels see them: address, shape, strides, element type.

use numpy::npyffi::{self, NPY_TYPES, flags};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Element types that cross the binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F32,
    F64,
    F16,
    I64,
    I32,
    I16,
    I8,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl Kind {
    fn of(code: i32) -> Option<Self> {
        const TABLE: [(NPY_TYPES, Kind); 12] = [
            (NPY_TYPES::NPY_FLOAT, Kind::F32),
            (NPY_TYPES::NPY_DOUBLE, Kind::F64),
            (NPY_TYPES::NPY_HALF, Kind::F16),
            (NPY_TYPES::NPY_LONG, Kind::I64),
            (NPY_TYPES::NPY_INT, Kind::I32),
            (NPY_TYPES::NPY_SHORT, Kind::I16),
            (NPY_TYPES::NPY_BYTE, Kind::I8),
            (NPY_TYPES::NPY_UBYTE, Kind::U8),
            (NPY_TYPES::NPY_USHORT, Kind::U16),
            (NPY_TYPES::NPY_UINT, Kind::U32),
            (NPY_TYPES::NPY_ULONG, Kind::U64),
            (NPY_TYPES::NPY_BOOL, Kind::Bool),
        ];
        if code == NPY_TYPES::NPY_LONGLONG as i32 {
            return Some(Self::I64);
        }
        if code == NPY_TYPES::NPY_ULONGLONG as i32 {
            return Some(Self::U64);
        }
        TABLE.iter().find(|(npy, _)| *npy as i32 == code).map(|&(_, kind)| kind)
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// NumPy's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::Bool => "bool",
        }
    }
}

/// One array argument, read once at the door.
#[derive(Debug)]
pub struct Array {
    pub start: *mut u8,
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// In elements.
    pub strides: Vec<isize>,
    pub writable: bool,
    pub dense: bool,
}

impl Array {
    /// Reads an exact `numpy.ndarray` of aligned, native elements.
    pub fn read(object: &Bound<'_, PyAny>) -> Result<Self, String> {
        let array = object.cast_exact::<PyUntypedArray>().map_err(|_| format!("expected numpy.ndarray, got {}", object.get_type()))?;
        let descr = array.dtype();
        let kind = Kind::of(descr.num()).filter(|_| descr.is_native_byteorder().unwrap_or(true));
        let kind = kind.ok_or_else(|| format!("expected a native number type, got {descr}"))?;
        let raw = array.as_array_ptr();
        // SAFETY: a live array object whose fields NumPy keeps valid; the GIL is held.
        let (start, flag) = unsafe { ((*raw).fields.data.cast::<u8>(), (*raw).fields.flags) };
        let size = kind.size() as isize;
        if flag & flags::NPY_ARRAY_ALIGNED == 0 || array.strides().iter().any(|s| s % size != 0) {
            return Err("expected aligned elements".into());
        }
        Ok(Self {
            start,
            kind,
            shape: array.shape().to_vec(),
            strides: array.strides().iter().map(|s| s / size).collect(),
            writable: flag & flags::NPY_ARRAY_WRITEABLE != 0,
            dense: flag & flags::NPY_ARRAY_C_CONTIGUOUS != 0,
        })
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes it spans, for overlap checks; empty for an array without elements.
    pub fn span(&self) -> (usize, usize) {
        if self.len() == 0 {
            return (0, 0);
        }
        let (mut low, mut high) = (0isize, 0isize);
        for (&n, &s) in self.shape.iter().zip(&self.strides) {
            let reach = (n as isize - 1) * s;
            low += reach.min(0);
            high += reach.max(0);
        }
        let size = self.kind.size() as isize;
        let at = |steps: isize| (self.start as isize + steps * size) as usize;
        (at(low), at(high) + size as usize)
    }

    /// Whether two positions may be the same element (an expanded array).
    pub fn repeats(&self) -> bool {
        if self.len() == 0 {
            return false;
        }
        let mut axes: Vec<(usize, usize)> =
            self.shape.iter().zip(&self.strides).filter(|(n, _)| **n > 1).map(|(&n, &s)| (s.unsigned_abs(), n)).collect();
        axes.sort_unstable();
        let mut reach = 0;
        for (step, n) in axes {
            if step <= reach {
                return true;
            }
            reach += step * (n - 1);
        }
        false
    }
}

/// A new array over pooled memory, C order.
pub fn empty<'py>(py: Python<'py>, shape: &[usize], dtype: &Bound<'py, numpy::PyArrayDescr>) -> PyResult<Bound<'py, PyAny>> {
    let bytes = neurenix_core::error::product("empty", shape)
        .ok()
        .and_then(|n| n.checked_mul(dtype.itemsize()))
        .ok_or_else(|| super::roles::memory_error(py, usize::MAX))?;
    let block = py.detach(|| neurenix_core::blocks::Block::new(bytes)).map_err(|_| super::roles::memory_error(py, bytes))?;
    let data = block.as_ptr();
    let base = Bound::new(py, super::system::Owner::new(block))?;
    let mut dims: Vec<npyffi::npy_intp> = shape.iter().map(|&n| n as npyffi::npy_intp).collect();
    // SAFETY: `data` holds `bytes` bytes as long as `base` lives, and the array owns a reference to `base`.
    unsafe {
        let array = npyffi::PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type),
            dtype.clone().into_ptr().cast(),
            dims.len() as std::ffi::c_int,
            dims.as_mut_ptr(),
            std::ptr::null_mut(),
            data.cast(),
            flags::NPY_ARRAY_CARRAY,
            std::ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if npyffi::PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base.into_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}
