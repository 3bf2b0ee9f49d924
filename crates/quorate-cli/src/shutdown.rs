//! Whether the host boots again by itself after the shutdown that is under way.

use std::process::{Command, Stdio};

/// Units of systemd that end in another boot.
const REBOOTS: [&str; 3] = ["reboot.target", "kexec.target", "soft-reboot.target"];

/// As far as systemd says; without it: no.
pub(crate) fn reboots() -> bool {
    let jobs = Command::new("systemctl")
        .args(["list-jobs", "--no-legend", "--no-pager"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    jobs.is_ok_and(|jobs| starts_a_reboot(&String::from_utf8_lossy(&jobs.stdout)))
}

/// Whether one of these jobs is the start of a reboot: number, unit, kind, state.
fn starts_a_reboot(jobs: &str) -> bool {
    jobs.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|unit| REBOOTS.contains(&unit)) && words.next() == Some("start")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_reboot_is_seen_among_the_jobs_of_systemd() {
        for (jobs, reboots) in [
            ("", false),
            ("1234 reboot.target          start waiting\n1235 quorate.service stop running", true),
            ("  7 kexec.target start waiting", true),
            ("1234 poweroff.target start waiting\n1235 shutdown.target start waiting", false),
            ("1234 reboot.target stop waiting", false),
            ("1235 quorate.service restart running", false),
        ] {
            assert_eq!(starts_a_reboot(jobs), reboots, "{jobs}");
        }
    }
}
