//! `iscsi://[user[%password]@]host[:port]/iqn/lun`, parsed once, at the edge.

use std::fmt;

use crate::LunError;

/// Longest text that libiscsi keeps whole, in bytes.
const TEXT_MAX: usize = 255;

/// Where a LUN is, and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// `host:port`; IPv6 in brackets.
    pub(super) portal: String,
    pub(super) target: String,
    pub(super) lun: u8,
    pub(super) login: Option<(String, String)>,
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iscsi://{}/{}/{}", self.portal, self.target, self.lun)
    }
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, LunError> {
        // The text itself is not repeated: it may hold a password.
        let bad = |why: &str| {
            LunError::misuse(format!(
                "iSCSI address: {why}; expected iscsi://[user%password@]host[:port]/iqn/lun"
            ))
        };
        let rest =
            text.strip_prefix("iscsi://").ok_or_else(|| bad("it must begin with iscsi://"))?;
        let (portal, path) = rest.split_once('/').ok_or_else(|| bad("no target name"))?;
        let (target, lun) = path.split_once('/').ok_or_else(|| bad("no LUN number"))?;
        let (login, portal) = match portal.rsplit_once('@') {
            Some((login, portal)) => {
                let (user, password) = login.split_once(['%', ':']).unwrap_or((login, ""));
                (Some((user.to_owned(), password.to_owned())), portal)
            }
            None => (None, portal),
        };
        if portal.is_empty() || portal.starts_with(':') {
            return Err(bad("no host"));
        }
        if target.is_empty() {
            return Err(bad("no target name"));
        }
        if text.len() > TEXT_MAX || text.contains('\0') {
            return Err(bad("longer than 255 bytes, or a NUL in it"));
        }
        let lun = lun.parse().map_err(|_| bad("the LUN must be a number from 0 to 255"))?;
        let portal = with_port(portal);
        Ok(Self { portal, target: target.to_owned(), lun, login })
    }
}

/// A portal with its port, whether it is said or not.
pub(super) fn with_port(portal: &str) -> String {
    if has_port(portal) { portal.to_owned() } else { format!("{portal}:3260") }
}

/// By what two addresses are known to lead to one LUN: the target's name and the LUN's number, whatever the portal, the
/// login and the spelling. `None`: it is no address.
pub fn iscsi_address(url: &str) -> Option<(String, u8)> {
    let url = Url::parse(url).ok()?;
    Some((url.target.to_lowercase(), url.lun))
}

/// An address as it may be shown.
pub fn without_password(url: &str) -> String {
    let Some((login, rest)) = url.strip_prefix("iscsi://").and_then(|rest| {
        let end = rest.find('/').unwrap_or(rest.len());
        let at = rest[..end].rfind('@')?;
        Some((&rest[..at], &rest[at..]))
    }) else {
        return url.to_owned();
    };
    let user = login.split(['%', ':']).next().unwrap_or_default();
    format!("iscsi://{user}{rest}")
}

fn has_port(portal: &str) -> bool {
    match portal.rsplit_once(']') {
        Some((_, behind)) => behind.starts_with(':'),
        None => portal.contains(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lun_is_one_however_it_is_spelt_and_no_password_is_shown() {
        let same =
            ["iscsi://h/IQN.a:b/1", "iscsi://h:3260/iqn.a:b/01", "iscsi://me%x@10.0.0.1/iqn.a:b/1"];
        for url in same {
            assert_eq!(iscsi_address(url), Some(("iqn.a:b".to_owned(), 1)), "{url}");
        }
        assert_eq!(iscsi_address("iscsi://h/iqn.a:b/2").unwrap().1, 2);
        for (url, shown) in [
            ("iscsi://me%secret@h/iqn/1", "iscsi://me@h/iqn/1"),
            ("iscsi://me:secret@h/iqn/1", "iscsi://me@h/iqn/1"),
            ("iscsi://me%a@b@h/iqn/1", "iscsi://me@h/iqn/1"),
            ("iscsi://h/iqn@x/1", "iscsi://h/iqn@x/1"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn a_whole_address_is_taken_apart() {
        let url = Url::parse("iscsi://me%secret@[::1]:3261/iqn.2026-01.org.example:d/7").unwrap();
        assert_eq!(url.portal, "[::1]:3261");
        assert_eq!(url.target, "iqn.2026-01.org.example:d");
        assert_eq!(url.lun, 7);
        assert_eq!(url.login, Some(("me".into(), "secret".into())));
        assert!(!format!("{url:?}").contains("secret"));
    }

    #[test]
    fn the_port_may_be_left_out() {
        assert_eq!(Url::parse("iscsi://host/iqn.x/0").unwrap().portal, "host:3260");
        assert_eq!(Url::parse("iscsi://[fe80::1]/iqn.x/0").unwrap().portal, "[fe80::1]:3260");
    }

    #[test]
    fn a_bad_address_says_what_is_wrong_and_never_repeats_a_password() {
        for (text, why) in [
            ("nbd://u%pw@h/t/1", "begin with"),
            ("iscsi://u%pw@h", "no target"),
            ("iscsi://u%pw@h/t", "no LUN"),
            ("iscsi://u%pw@/t/1", "no host"),
            ("iscsi://u%pw@h//1", "no target"),
            ("iscsi://u%pw@h/t/256", "0 to 255"),
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("pw"), "{text}: {error}");
        }
    }
}
