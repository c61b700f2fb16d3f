//! What surrounds the kernels: new arrays, memory, threads, instruction-set levels.

use neurenix_core::{blocks, simd, threads};
use numpy::PyArrayDescr;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Keeps a block alive while an array looks at it.
#[pyclass(module = "neurenix._rust", frozen)]
pub struct Owner {
    _block: blocks::Block,
}

impl Owner {
    pub fn new(block: blocks::Block) -> Self {
        Self { _block: block }
    }
}

/// empty(shape, dtype): a new array in C order over pooled, uninitialised memory.
#[pyfunction]
fn empty<'py>(py: Python<'py>, shape: Vec<usize>, dtype: &Bound<'py, PyArrayDescr>) -> PyResult<Bound<'py, PyAny>> {
    crate::array::empty(py, &shape, dtype)
}

/// memory_stats(): bytes of our arrays alive now, at the peak, and cached.
#[pyfunction]
fn memory_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let stats = blocks::stats();
    let dict = PyDict::new(py);
    dict.set_item("live", stats.live)?;
    dict.set_item("peak", stats.peak)?;
    dict.set_item("cached", stats.cached)?;
    Ok(dict)
}

/// reset_peak(): the peak becomes what is alive now.
#[pyfunction]
fn reset_peak() {
    blocks::reset_peak();
}

/// empty_cache(): gives cached memory back to the system.
#[pyfunction]
fn empty_cache() {
    blocks::empty_cache();
}

/// set_memory_limit(bytes): the most that may be alive; None for no limit.
#[pyfunction]
fn set_memory_limit(bytes: Option<usize>) {
    blocks::set_limit(bytes.unwrap_or(usize::MAX));
}

/// num_threads(): threads that kernels use.
#[pyfunction]
fn num_threads() -> usize {
    threads::num_threads()
}

/// set_num_threads(n): from the next kernel on.
#[pyfunction]
fn set_num_threads(py: Python<'_>, n: usize) -> PyResult<()> {
    threads::set_num_threads(n).map_err(|error| crate::roles::raise(py, "set_num_threads", error))
}

/// level(): the instruction-set level in use.
#[pyfunction]
fn level() -> &'static str {
    simd::LEVEL_NAMES[usize::from(simd::level())]
}

/// levels(): the levels this processor can run.
#[pyfunction]
fn levels() -> Vec<&'static str> {
    simd::LEVEL_NAMES[..=usize::from(simd::best_level())].to_vec()
}

/// set_level(name): forces a level, for tests.
#[pyfunction]
fn set_level(py: Python<'_>, name: &str) -> PyResult<()> {
    match simd::LEVEL_NAMES[..=usize::from(simd::best_level())].iter().position(|&l| l == name) {
        Some(level) => {
            simd::set_level(level as u8);
            Ok(())
        }
        None => {
            let text = format!("set_level: expected one of {:?}, got {name:?}", levels());
            Err(crate::roles::raise(py, "set_level", neurenix_core::error::Error::Argument(text)))
        }
    }
}

/// fma_peak(): float32 GFLOP/s that all threads reach with multiply-adds alone.
#[pyfunction]
fn fma_peak(py: Python<'_>) -> f64 {
    py.detach(neurenix_core::machine::fma_peak)
}

/// copy_bandwidth(): GB/s, read and written, that all threads reach copying.
#[pyfunction]
fn copy_bandwidth(py: Python<'_>) -> PyResult<f64> {
    py.detach(neurenix_core::machine::copy_bandwidth).map_err(|error| crate::roles::raise(py, "copy_bandwidth", error))
}

/// Adds these functions to the module.
pub fn add_to(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<Owner>()?;
    m.add_function(wrap_pyfunction!(empty, m)?)?;
    m.add_function(wrap_pyfunction!(memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(reset_peak, m)?)?;
    m.add_function(wrap_pyfunction!(empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(set_memory_limit, m)?)?;
    m.add_function(wrap_pyfunction!(num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(level, m)?)?;
    m.add_function(wrap_pyfunction!(levels, m)?)?;
    m.add_function(wrap_pyfunction!(set_level, m)?)?;
    m.add_function(wrap_pyfunction!(fma_peak, m)?)?;
    m.add_function(wrap_pyfunction!(copy_bandwidth, m)?)
}
