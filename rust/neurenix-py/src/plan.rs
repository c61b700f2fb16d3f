//! Plans of memory: what would be taken, without taking it.

use neurenix_core::{blocks, planning};
use pyo3::prelude::*;

/// A block: its number, address, resident bytes, and whether a kernel took it for itself.
type Block = (usize, usize, usize, bool);

fn listed(items: &[planning::Item]) -> Vec<Block> {
    items.iter().map(|i| (i.serial, i.start, i.bytes, i.kernel)).collect()
}

/// plan_begin(): from now on this thread's arrays and kernels take memory that is counted and never written to.
#[pyfunction]
fn plan_begin() {
    blocks::begin_plan();
    planning::set(true);
}

/// plan_end(): as ever again; the most bytes of blocks that were alive at once.
#[pyfunction]
fn plan_end() -> usize {
    planning::set(false);
    blocks::end_plan().map_or(0, |(_, stats)| stats.peak)
}

/// plan_reset_peak(): look for the peaks anew; bytes of the blocks that are in use.
#[pyfunction]
fn plan_reset_peak() -> usize {
    blocks::reset_plan()
}

/// plan_live(): the blocks that are in use.
#[pyfunction]
fn plan_live() -> Vec<Block> {
    blocks::with_plan(|notes| listed(&notes.live())).unwrap_or_default()
}

/// plan_peak(): the most bytes resident at once; what was in use when most was, and bytes in the scratch of threads then.
#[pyfunction]
fn plan_peak() -> (usize, Vec<Block>, usize) {
    blocks::with_plan(|notes| (notes.peak, listed(&notes.at_peak), notes.scratch_at_peak)).unwrap_or_default()
}

/// memory_resident(): bytes of the pool of arrays that were written to, cached ones among them.
#[pyfunction]
fn memory_resident() -> usize {
    blocks::resident()
}

/// Adds these functions to the module.
pub fn add_to(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(memory_resident, m)?)?;
    m.add_function(wrap_pyfunction!(plan_begin, m)?)?;
    m.add_function(wrap_pyfunction!(plan_end, m)?)?;
    m.add_function(wrap_pyfunction!(plan_reset_peak, m)?)?;
    m.add_function(wrap_pyfunction!(plan_live, m)?)?;
    m.add_function(wrap_pyfunction!(plan_peak, m)?)
}
