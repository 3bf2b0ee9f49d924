//! The part of libiscsi's C interface that is used here, written by hand.
//!
//! Source: iscsi.h and scsi-lowlevel.h of libiscsi 1.19; unchanged in what is used since 1.18.

use std::ffi::{c_char, c_int, c_uchar, c_void};

/// An opaque `struct iscsi_context`.
#[repr(C)]
pub(super) struct Context {
    _opaque: [u8; 0],
}

/// The front of `struct scsi_task`, up to the sense code. Only ever seen behind a pointer made by
/// libiscsi.
#[repr(C)]
pub(super) struct Task {
    pub(super) status: c_int,
    pub(super) cdb_size: c_int,
    pub(super) xfer_dir: c_int,
    pub(super) expxferlen: c_int,
    pub(super) cdb: [c_uchar; 16],
    pub(super) residual_status: c_int,
    pub(super) residual: usize,
    pub(super) sense_error_type: c_uchar,
    pub(super) sense_key: c_int,
    pub(super) sense_ascq: c_int,
}

/// `struct iscsi_data`: what is sent with a command.
#[repr(C)]
pub(super) struct Data {
    pub(super) size: usize,
    pub(super) data: *mut c_uchar,
}

pub(super) type Callback = extern "C" fn(
    context: *mut Context,
    status: c_int,
    command_data: *mut c_void,
    private: *mut c_void,
);

pub(super) const XFER_NONE: c_int = 0;
pub(super) const XFER_READ: c_int = 1;
pub(super) const XFER_WRITE: c_int = 2;

pub(super) const SESSION_NORMAL: c_int = 2;
pub(super) const DIGEST_NONE_CRC32C: c_int = 1;

pub(super) const STATUS_GOOD: c_int = 0;
pub(super) const STATUS_CHECK_CONDITION: c_int = 2;
pub(super) const STATUS_BUSY: c_int = 8;
pub(super) const STATUS_RESERVATION_CONFLICT: c_int = 0x18;
pub(super) const STATUS_TASK_SET_FULL: c_int = 0x28;
pub(super) const STATUS_TASK_ABORTED: c_int = 0x40;
pub(super) const STATUS_MOVED_FOR_NOW: c_int = 0x101;
pub(super) const STATUS_MOVED_FOR_GOOD: c_int = 0x102;
/// The first status that libiscsi makes up by itself: cancelled, error, time-out.
pub(super) const STATUS_LOCAL: c_int = 0x0f00_0000;

unsafe extern "C" {
    pub(super) fn iscsi_create_context(initiator: *const c_char) -> *mut Context;
    pub(super) fn iscsi_get_target_address(context: *mut Context) -> *const c_char;
    pub(super) fn iscsi_destroy_context(context: *mut Context) -> c_int;
    pub(super) fn iscsi_set_targetname(context: *mut Context, target: *const c_char) -> c_int;
    pub(super) fn iscsi_set_session_type(context: *mut Context, kind: c_int) -> c_int;
    pub(super) fn iscsi_set_header_digest(context: *mut Context, digest: c_int) -> c_int;
    pub(super) fn iscsi_set_isid_random(
        context: *mut Context,
        random: u32,
        qualifier: u32,
    ) -> c_int;
    pub(super) fn iscsi_set_noautoreconnect(context: *mut Context, state: c_int);
    pub(super) fn iscsi_set_initiator_username_pwd(
        context: *mut Context,
        user: *const c_char,
        password: *const c_char,
    ) -> c_int;
    pub(super) fn iscsi_connect_async(
        context: *mut Context,
        portal: *const c_char,
        callback: Callback,
        private: *mut c_void,
    ) -> c_int;
    pub(super) fn iscsi_login_async(
        context: *mut Context,
        callback: Callback,
        private: *mut c_void,
    ) -> c_int;
    pub(super) fn iscsi_get_fd(context: *mut Context) -> c_int;
    pub(super) fn iscsi_which_events(context: *mut Context) -> c_int;
    pub(super) fn iscsi_service(context: *mut Context, revents: c_int) -> c_int;
    pub(super) fn iscsi_get_error(context: *mut Context) -> *const c_char;
    pub(super) fn iscsi_nop_out_async(
        context: *mut Context,
        callback: Callback,
        data: *mut c_uchar,
        length: c_int,
        private: *mut c_void,
    ) -> c_int;
    pub(super) fn iscsi_task_mgmt_lun_reset_async(
        context: *mut Context,
        lun: u32,
        callback: Callback,
        private: *mut c_void,
    ) -> c_int;
    pub(super) fn scsi_create_task(
        cdb_size: c_int,
        cdb: *mut c_uchar,
        direction: c_int,
        expected: c_int,
    ) -> *mut Task;
    pub(super) fn scsi_free_scsi_task(task: *mut Task);
    pub(super) fn scsi_task_add_data_in_buffer(
        task: *mut Task,
        length: c_int,
        buffer: *mut c_uchar,
    ) -> c_int;
    pub(super) fn iscsi_scsi_command_async(
        context: *mut Context,
        lun: c_int,
        task: *mut Task,
        callback: Callback,
        data: *mut Data,
        private: *mut c_void,
    ) -> c_int;
}
