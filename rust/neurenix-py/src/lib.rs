//! The Python module `neurenix._rust`: the compiled kernels, one declaration line each, and what surrounds them.

mod array;
mod kernels;
mod plan;
mod roles;
mod system;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
fn _rust(m: &Bound<'_, PyModule>) -> PyResult<()> {
    kernels::add_to(m)?;
    plan::add_to(m)?;
    system::add_to(m)
}
