//! One iSCSI session: a safe face on one libiscsi context, used by one thread.
//!
//! Owns the context, the command blocks and the buffers that libiscsi reads and fills, so that none
//! of them can be freed while libiscsi may touch it. Decides nothing.
//!
//! Architecture invariant: libiscsi's own reconnect is off. It would send queued commands again on
//! another nexus, which is for the worker to judge.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::os::fd::BorrowedFd;

use super::ffi;
use super::url::Url;
use crate::LunError;
use crate::scsi::{Cdb, Outcome, Sense};

/// Ids of what is not a SCSI command; commands count up from `FIRST_COMMAND`.
const CONNECT: usize = 1;
const LOGIN: usize = 2;
const PING: usize = 3;
pub(super) const FIRST_COMMAND: usize = 16;

thread_local! {
    /// What libiscsi has completed on this thread since last looked.
    static COMPLETED: RefCell<Vec<Completion>> = const { RefCell::new(Vec::new()) };
}

struct Completion {
    id: usize,
    status: c_int,
    /// First word of a task management answer.
    value: u32,
    /// libiscsi's words for a failed connection or login, taken before it overwrites them.
    why: Option<String>,
}

/// Called by libiscsi from within `iscsi_service`, `iscsi_destroy_context` and the submitting
/// calls.
///
/// `private` is not a pointer but the id given at submission, so a late or repeated call can do no
/// harm.
extern "C" fn completed(
    context: *mut ffi::Context,
    status: c_int,
    _: *mut c_void,
    private: *mut c_void,
) {
    let id = private.addr();
    let why = (id < FIRST_COMMAND && status != ffi::STATUS_GOOD).then(|| error_text(context));
    COMPLETED.with_borrow_mut(|list| list.push(Completion { id, status, value: 0, why }));
}

/// As `completed`, for task management, whose answer is a `uint32_t` behind `data`.
extern "C" fn reset_completed(
    _: *mut ffi::Context,
    status: c_int,
    data: *mut c_void,
    private: *mut c_void,
) {
    let response = data.cast::<u32>();
    let value = if status != ffi::STATUS_GOOD || response.is_null() {
        u32::MAX
    } else {
        // SAFETY: libiscsi hands a pointer to a uint32_t that lives for this call when the status
        // is good.
        unsafe { response.read_unaligned() }
    };
    COMPLETED.with_borrow_mut(|list| {
        list.push(Completion { id: private.addr(), status, value, why: None })
    });
}

/// The data that goes with a command.
#[derive(Debug)]
pub(super) enum Transfer {
    None,
    /// Filled by the device.
    In(Vec<u8>),
    /// Sent to the device.
    Out(Vec<u8>),
}

/// What a session is told to do.
#[derive(Debug)]
pub(super) enum Command {
    Scsi(Cdb, Transfer),
    /// LOGICAL UNIT RESET; only when nothing else is under way on this session.
    Reset,
}

/// Something that ended on the session.
#[derive(Debug)]
pub(super) enum Done {
    Connected(Result<(), String>),
    LoggedIn(Result<(), LunError>),
    /// The target is to be logged in to at another portal.
    Moved(String),
    Pinged,
    Command {
        id: usize,
        outcome: Outcome,
        command: Command,
    },
}

struct InFlight {
    command: Command,
    task: *mut ffi::Task,
    /// Points into `command`. One or none; a `Vec`, so that its address stays when the flight
    /// moves.
    _data: Vec<ffi::Data>,
}

pub(super) struct Session {
    context: *mut ffi::Context,
    lun: u8,
    flights: BTreeMap<usize, InFlight>,
}

impl Session {
    /// A session that is not connected. `isid` picks the nexus: 40 bits are used.
    pub(super) fn new(initiator: &CStr, url: &Url, isid: u64) -> Result<Self, LunError> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| LunError::misuse("a NUL in the iSCSI address"))
        };
        let (target, login) = (text(&url.target)?, &url.login);
        let login = match login {
            Some((user, password)) => Some((text(user)?, text(password)?)),
            None => None,
        };
        // SAFETY: the name is a NUL-terminated text, which libiscsi copies.
        let context = unsafe { ffi::iscsi_create_context(initiator.as_ptr()) };
        if context.is_null() {
            return Err(LunError::misuse("iSCSI initiator name is empty or memory is short"));
        }
        let session = Self { context, lun: url.lun, flights: BTreeMap::new() };
        // SAFETY: the context is live; the name is copied.
        unsafe { ffi::iscsi_set_targetname(context, target.as_ptr()) };
        // SAFETY: the context is live.
        unsafe { ffi::iscsi_set_session_type(context, ffi::SESSION_NORMAL) };
        // SAFETY: the context is live.
        unsafe { ffi::iscsi_set_header_digest(context, ffi::DIGEST_NONE_CRC32C) };
        let (random, qualifier) = ((isid >> 16) as u32 & 0x00ff_ffff, isid as u32 & 0xffff);
        // SAFETY: the context is live.
        unsafe { ffi::iscsi_set_isid_random(context, random, qualifier) };
        // SAFETY: the context is live.
        unsafe { ffi::iscsi_set_noautoreconnect(context, 1) };
        if let Some((user, password)) = login {
            // SAFETY: the context is live; both texts are copied.
            unsafe {
                ffi::iscsi_set_initiator_username_pwd(context, user.as_ptr(), password.as_ptr())
            };
        }
        Ok(session)
    }

    /// Starts a TCP connection; ends in `Done::Connected`.
    pub(super) fn connect(&mut self, portal: &str) -> Result<(), String> {
        let portal = CString::new(portal).map_err(|_| "a NUL in the portal".to_owned())?;
        let private = std::ptr::without_provenance_mut(CONNECT);
        // SAFETY: the context is live; the portal is copied; the callback takes any private value.
        let started =
            unsafe { ffi::iscsi_connect_async(self.context, portal.as_ptr(), completed, private) };
        if started == 0 { Ok(()) } else { Err(self.error()) }
    }

    /// Starts a login over the connection; ends in `Done::LoggedIn`.
    pub(super) fn login(&mut self) -> Result<(), String> {
        let private = std::ptr::without_provenance_mut(LOGIN);
        // SAFETY: the context is live and connected; the callback takes any private value.
        let started = unsafe { ffi::iscsi_login_async(self.context, completed, private) };
        if started == 0 { Ok(()) } else { Err(self.error()) }
    }

    /// Asks the target whether it is there; ends in `Done::Pinged`.
    pub(super) fn ping(&mut self) {
        let private = std::ptr::without_provenance_mut(PING);
        // A failure to queue shows as the missing answer.
        // SAFETY: the context is live; no data is sent; the callback takes any private value.
        unsafe {
            ffi::iscsi_nop_out_async(self.context, completed, std::ptr::null_mut(), 0, private)
        };
    }

    /// The socket, for `poll`.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the context is live.
        let fd = unsafe { ffi::iscsi_get_fd(self.context) };
        if fd < 0 {
            return None;
        }
        // SAFETY: libiscsi owns this open descriptor as long as the context is neither serviced nor
        // destroyed, and both need `&mut self`.
        Some(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// What to wait for on the socket, as `poll` bits.
    pub(super) fn wanted(&self) -> i16 {
        // SAFETY: the context is live.
        let events = unsafe { ffi::iscsi_which_events(self.context) };
        events as i16
    }

    /// Lets libiscsi read and write. An error means that the session is gone.
    pub(super) fn service(&mut self, ready: i16) -> Result<(), String> {
        // SAFETY: the context is live; callbacks only touch the thread's own list.
        let result = unsafe { ffi::iscsi_service(self.context, ready.into()) };
        if result == 0 { Ok(()) } else { Err(self.error()) }
    }

    /// Sends a command; ends in `Done::Command` under `id`. Gives it back if the session cannot
    /// take it.
    pub(super) fn submit(&mut self, id: usize, command: Command) -> Result<(), Command> {
        match command {
            Command::Reset => self.submit_reset(id),
            Command::Scsi(cdb, transfer) => self.submit_scsi(id, cdb, transfer),
        }
    }

    fn submit_reset(&mut self, id: usize) -> Result<(), Command> {
        let private = std::ptr::without_provenance_mut(id);
        let lun = self.lun.into();
        // SAFETY: the context is live; the callback takes any private value.
        let sent = unsafe {
            ffi::iscsi_task_mgmt_lun_reset_async(self.context, lun, reset_completed, private)
        };
        if sent != 0 {
            return Err(Command::Reset);
        }
        self.flights.insert(
            id,
            InFlight { command: Command::Reset, task: std::ptr::null_mut(), _data: Vec::new() },
        );
        Ok(())
    }

    fn submit_scsi(
        &mut self,
        id: usize,
        mut cdb: Cdb,
        mut transfer: Transfer,
    ) -> Result<(), Command> {
        let (direction, expected) = match &transfer {
            Transfer::None => (ffi::XFER_NONE, 0),
            Transfer::In(buffer) => (ffi::XFER_READ, buffer.len()),
            Transfer::Out(buffer) => (ffi::XFER_WRITE, buffer.len()),
        };
        let Ok(expected) = c_int::try_from(expected) else {
            return Err(Command::Scsi(cdb, transfer));
        };
        let size = cdb.length as c_int;
        // SAFETY: the block is at least `size` bytes long and is copied.
        let task =
            unsafe { ffi::scsi_create_task(size, cdb.bytes.as_mut_ptr(), direction, expected) };
        if task.is_null() {
            return Err(Command::Scsi(cdb, transfer));
        }
        let mut data = Vec::new();
        match &mut transfer {
            Transfer::None => {}
            Transfer::In(buffer) => {
                // SAFETY: the task is live; the buffer is `expected` bytes long, stays in
                // `flights`, where it is not touched, and outlives the task.
                unsafe { ffi::scsi_task_add_data_in_buffer(task, expected, buffer.as_mut_ptr()) };
            }
            Transfer::Out(buffer) => {
                data.push(ffi::Data { size: buffer.len(), data: buffer.as_mut_ptr() });
            }
        }
        let pointer = if data.is_empty() { std::ptr::null_mut() } else { data.as_mut_ptr() };
        let private = std::ptr::without_provenance_mut(id);
        let lun = self.lun.into();
        // SAFETY: context and task are live; data and buffer live in `flights` until the task has
        // ended or the context is destroyed; the callback takes any private value.
        let sent = unsafe {
            ffi::iscsi_scsi_command_async(self.context, lun, task, completed, pointer, private)
        };
        if sent != 0 {
            // SAFETY: libiscsi did not take the task, so it is ours to free, once.
            unsafe { ffi::scsi_free_scsi_task(task) };
            return Err(Command::Scsi(cdb, transfer));
        }
        self.flights
            .insert(id, InFlight { command: Command::Scsi(cdb, transfer), task, _data: data });
        Ok(())
    }

    /// What has ended since last asked.
    pub(super) fn take_done(&mut self) -> Vec<Done> {
        let list = COMPLETED.take();
        list.into_iter().filter_map(|completion| self.done(completion)).collect()
    }

    fn done(&mut self, Completion { id, status, value, why }: Completion) -> Option<Done> {
        let why = why.unwrap_or_else(|| "no reason given".to_owned());
        match id {
            CONNECT if status == ffi::STATUS_GOOD => Some(Done::Connected(Ok(()))),
            CONNECT => Some(Done::Connected(Err(why))),
            LOGIN if status == ffi::STATUS_GOOD => Some(Done::LoggedIn(Ok(()))),
            LOGIN => Some(match self.moved_to(status) {
                Some(portal) => Done::Moved(portal),
                None => Done::LoggedIn(Err(login_error(why))),
            }),
            // A ping that was cancelled is no sign of life.
            PING => (status == ffi::STATUS_GOOD).then_some(Done::Pinged),
            _ => {
                let flight = self.flights.remove(&id)?;
                let outcome = match flight.task.is_null() {
                    true => reset_outcome(status, value),
                    false => task_outcome(status, flight.task),
                };
                free(flight.task);
                Some(Done::Command { id, outcome, command: flight.command })
            }
        }
    }

    /// Where a target that has moved says that it is.
    ///
    /// Source: RFC 7143, 11.13.5 (status class 1) and 13.8: `TargetAddress` is `host[:port][,group]`.
    fn moved_to(&self, status: c_int) -> Option<String> {
        if !matches!(status, ffi::STATUS_MOVED_FOR_NOW | ffi::STATUS_MOVED_FOR_GOOD) {
            return None;
        }
        // SAFETY: the context is live.
        let text = unsafe { ffi::iscsi_get_target_address(self.context) };
        if text.is_null() {
            return None;
        }
        // SAFETY: libiscsi keeps a NUL-terminated text in the context, which is not touched while it is copied.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let portal = text.split(',').next().filter(|portal| !portal.is_empty())?;
        Some(super::url::with_port(portal))
    }

    /// Ends the session and gives back what had not ended: its outcome is not known.
    pub(super) fn close(mut self) -> Vec<(usize, Command)> {
        self.destroy();
        let flights = std::mem::take(&mut self.flights);
        flights
            .into_iter()
            .map(|(id, flight)| {
                free(flight.task);
                (id, flight.command)
            })
            .collect()
    }

    fn destroy(&mut self) {
        if self.context.is_null() {
            return;
        }
        // SAFETY: the context is live and is forgotten at once, so it is destroyed once.
        unsafe { ffi::iscsi_destroy_context(self.context) };
        self.context = std::ptr::null_mut();
        // Its last words mean nothing to the next session of this thread.
        COMPLETED.take();
    }

    fn error(&self) -> String {
        error_text(self.context)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.destroy();
        for flight in std::mem::take(&mut self.flights).into_values() {
            free(flight.task);
        }
    }
}

/// What libiscsi last said about a live context.
fn error_text(context: *mut ffi::Context) -> String {
    // SAFETY: the context is live: it is ours or libiscsi's own argument to a callback.
    let text = unsafe { ffi::iscsi_get_error(context) };
    if text.is_null() {
        return "no reason given".to_owned();
    }
    // SAFETY: libiscsi keeps a NUL-terminated text in the context, which is not touched while it is
    // copied.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().trim_end().to_owned()
}

fn login_error(why: String) -> LunError {
    let lower = why.to_lowercase();
    if lower.contains("authenticat") || lower.contains("authoriz") || lower.contains("forbidden") {
        return LunError::Denied { why };
    }
    if lower.contains("not found") {
        return LunError::misuse(why);
    }
    LunError::PathLost { why }
}

fn reset_outcome(status: c_int, response: u32) -> Outcome {
    match (status, response) {
        (ffi::STATUS_GOOD, 0) => Outcome::Good,
        (ffi::STATUS_GOOD, response) => Outcome::Failed(response as c_int),
        (_, _) => Outcome::Lost,
    }
}

fn task_outcome(status: c_int, task: *const ffi::Task) -> Outcome {
    // SAFETY: the task is live until `free`, and libiscsi is done with it.
    let task = unsafe { &*task };
    match status {
        ffi::STATUS_GOOD if task.xfer_dir == ffi::XFER_READ && short_read(task) => {
            Outcome::Failed(status)
        }
        ffi::STATUS_GOOD => Outcome::Good,
        ffi::STATUS_RESERVATION_CONFLICT => Outcome::Conflict,
        ffi::STATUS_CHECK_CONDITION => {
            Outcome::Check(Sense { key: task.sense_key as u8, code: task.sense_ascq as u16 })
        }
        ffi::STATUS_BUSY | ffi::STATUS_TASK_SET_FULL => Outcome::Busy,
        ffi::STATUS_TASK_ABORTED => Outcome::Aborted,
        status if status >= ffi::STATUS_LOCAL => Outcome::Lost,
        status => Outcome::Failed(status),
    }
}

/// READ (16) that brought less than asked. Other answers may be shorter than their buffer.
fn short_read(task: &ffi::Task) -> bool {
    task.cdb[0] == 0x88 && task.residual_status != 0 && task.residual != 0
}

fn free(task: *mut ffi::Task) {
    if !task.is_null() {
        // SAFETY: made by scsi_create_task; its command has ended or its context is destroyed;
        // called once, because the flight that held it is gone.
        unsafe { ffi::scsi_free_scsi_task(task) };
    }
}

/// libiscsi writes with `writev`: a target that hangs up would end a process whose host left
/// SIGPIPE alone.
pub(super) fn block_sigpipe() {
    // SAFETY: an all-zero signal set is a valid value to overwrite.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: the set is initialised, the signal number is valid.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGPIPE) };
    // SAFETY: the set is initialised; the old mask is not asked for; only this thread's mask
    // changes.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}
