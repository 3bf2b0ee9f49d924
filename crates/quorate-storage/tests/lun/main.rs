//! LUNs of every kind, and what stands on them. One program: each more has to be linked.

mod common;
mod device;
mod disk;
mod doctor;
mod file;
mod hostile;
#[cfg(quorate_libiscsi)]
mod iscsi;
#[cfg(quorate_libiscsi)]
mod lio;
mod nbd;
mod save_area;
