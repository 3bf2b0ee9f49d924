//! Child processes that die with their parent and do not hear the terminal's Ctrl-C.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags, open, rename};
use rustix::io::Errno;

/// Starts `command` so that the kernel kills it (SIGKILL) when the *thread* that called this ends,
/// however it ends.
///
/// Linux ties the death signal to the thread, not to the process: a child that was started from a
/// short-lived thread dies with it. So spawn from a thread that outlives the child. The child is
/// the leader of a session and a process group of its own: Ctrl-C in a terminal does not reach it,
/// and `kill(-pid)` reaches what it started in turn. What it starts does *not* inherit the death
/// signal, nor does a set-uid program keep it.
///
/// # Errors
///
/// As `Command::spawn`; also when the parent died in the very moment of the start.
pub fn spawn_dying_with_parent(command: &mut Command) -> io::Result<Child> {
    die_with_parent(command).spawn()
}

/// Lets what `command` starts die with its parent, as [`spawn_dying_with_parent`] says. What is called before the
/// program after this, by `pre_exec`, is called in the child's own session and dies with the parent too.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::setsid()?;
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before the signal was armed; then nobody would send it.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec `prepare` makes system calls only: no allocation, no lock.
    unsafe { command.pre_exec(prepare) }
}

/// Lets the process that `command` starts write `head` and its line of /proc/self/stat to `draft`, and put that in the
/// place of `path`, before it becomes the program; where it cannot, the start fails. Both paths are absolute.
///
/// # Errors
///
/// A path with a zero byte.
pub fn leave_stat(
    command: &mut Command,
    head: String,
    draft: &Path,
    path: &Path,
) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (draft, path) = (name(draft)?, name(path)?);
    let write = move || {
        let mut line = [0; 1024];
        let stat = open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let length = rustix::io::read(&stat, &mut line)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = open(draft.as_c_str(), flags, Mode::RUSR | Mode::WUSR)?;
        for part in [head.as_bytes(), &line[..length]] {
            // A disk that is nearly full takes the beginning alone.
            if rustix::io::write(&file, part)? < part.len() {
                return Err(Errno::NOSPC.into());
            }
        }
        Ok(rename(draft.as_c_str(), path.as_c_str())?)
    };
    // SAFETY: between fork and exec `write` makes system calls only: no allocation, no lock.
    unsafe { command.pre_exec(write) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_child_dies_with_the_thread_that_started_it_and_leads_its_own_group() {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let child =
                spawn_dying_with_parent(Command::new("sleep").arg("600").stdin(Stdio::null()))
                    .unwrap();
            let pid = rustix::process::Pid::from_child(&child);
            assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
            assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
            send.send(child).unwrap();
        });
        thread.join().unwrap();
        let mut child = receive.recv().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < end, "the child lives on"),
            }
            std::thread::yield_now();
        };
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
