//! The Python module quorate._quorate: conversion only.
//!
//! The classes that people see are in python/quorate; items, status and exceptions are written
//! there and made from here. *Architecture invariant*: no thread of ours calls into
//! Python; a call that waits lets the interpreter go meanwhile.

use pyo3::prelude::*;

mod config;
mod convert;
mod desk;
mod error;
mod fencing;
mod import;
mod lun;
mod node;
mod replay;
mod testing;
mod what_if;

#[pymodule(gil_used = false)]
mod _quorate {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::config::{ClusterKey, Config, diff, plan_of_status, random_id};
    #[pymodule_export]
    use crate::desk::{Desk, Work};
    #[pymodule_export]
    use crate::fencing::{check_fence_agents, init_fence_agents};
    #[pymodule_export]
    use crate::import::{import_pacemaker, import_proxmox};
    #[pymodule_export]
    use crate::lun::{lun_clear, lun_devices, lun_doctor, lun_init, lun_show};
    #[pymodule_export]
    use crate::node::Node;
    #[pymodule_export]
    use crate::replay::{Replayed, replay};
    #[pymodule_export]
    use crate::testing::TestCluster;
    #[pymodule_export]
    use crate::what_if::what_if;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let kinds = quorate::NoticeKind::ALL.iter().map(|kind| kind.as_str());
        module.add(
            "NOTICE_KINDS",
            pyo3::types::PyTuple::new(module.py(), kinds.collect::<Vec<_>>())?,
        )?;
        module.add("KEY_VARIABLE", quorate::key::KEY_VARIABLE)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
