//! Overwrites passwords in bytes that are about to be recorded, or to be known by a digest.
//!
//! What counts as one: the password of an address, `scheme://user%password@host` or with a colon, and the value of a
//! JSON key whose name says so, as in `"password":"..."`. The length stays, so everything around it still decodes;
//! and what was overwritten once stays as it is, so a replay comes to the same bytes.

/// An address or a value ends after this many bytes.
const TEXT_MAX: usize = 4_096;
/// A key is no longer than this.
const KEY_MAX: usize = 64;
/// A key with one of these in its name has a secret as its value.
const KEYS: [&[u8]; 7] =
    [b"password", b"passwd", b"passphrase", b"secret", b"token", b"credential", b"private_key"];

/// Puts stars in the place of every password.
pub(crate) fn hide(bytes: &mut [u8]) {
    for at in 0..bytes.len() {
        match bytes[at] {
            b':' if bytes[at..].starts_with(b"://") => hide_login(&mut bytes[at + 3..]),
            b'"' if names_a_secret(&bytes[..at]) => hide_value(&mut bytes[at + 1..]),
            _ => {}
        }
    }
}

/// What stands between the user's name and the last `@` of an address.
fn hide_login(rest: &mut [u8]) {
    let is_inside = |&byte: &u8| byte.is_ascii_graphic() && byte != b'/';
    let length = end_of_text(rest, is_inside);
    let Some(end) = rest[..length].iter().rposition(|&byte| byte == b'@') else { return };
    let user = rest[..end].iter().position(|byte| matches!(byte, b'%' | b':'));
    if let Some(user) = user {
        rest[user + 1..end].fill(b'*');
    }
}

/// A JSON text, if one begins here as the value of a key.
fn hide_value(rest: &mut [u8]) {
    let is_space = |byte: &&u8| byte.is_ascii_whitespace();
    let colon = rest.iter().take(KEY_MAX).take_while(is_space).count();
    if rest.get(colon) != Some(&b':') {
        return;
    }
    let space = rest[colon + 1..].iter().take(KEY_MAX).take_while(is_space).count();
    let quote = colon + 1 + space;
    if rest.get(quote) == Some(&b'"') {
        let length = end_of_text(&rest[quote + 1..], |_| true);
        rest[quote + 1..quote + 1 + length].fill(b'*');
    }
}

/// Where a text ends that may hold escaped quotes.
fn end_of_text(bytes: &[u8], is_inside: impl Fn(&u8) -> bool) -> usize {
    let mut is_escaped = false;
    let ends = |byte: &u8| {
        let quote = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        quote || !is_inside(byte)
    };
    let length = bytes.len().min(TEXT_MAX);
    bytes[..length].iter().position(ends).unwrap_or(length)
}

/// Whether these bytes end with a quote and the name of a secret.
fn names_a_secret(before: &[u8]) -> bool {
    let tail = &before[before.len().saturating_sub(KEY_MAX)..];
    let Some(quote) = tail.iter().rposition(|&byte| byte == b'"') else { return false };
    let key = tail[quote + 1..].to_ascii_lowercase();
    KEYS.iter().any(|secret| key.windows(secret.len()).any(|part| part == *secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        hide(&mut bytes);
        let once = String::from_utf8(bytes.clone()).expect("stars are text");
        hide(&mut bytes);
        assert_eq!(bytes, once.as_bytes(), "a second time changes nothing");
        assert_eq!(once.len(), text.len());
        once
    }

    #[test]
    fn passwords_are_hidden_and_nothing_else() {
        for (text, wanted) in [
            (r#"{"url":"iscsi://me%pw@h:1/iqn/1"}"#, r#"{"url":"iscsi://me%**@h:1/iqn/1"}"#),
            (r#"{"url":"iscsi://me%p@w@h/iqn/1"}"#, r#"{"url":"iscsi://me%***@h/iqn/1"}"#),
            ("http://me:p%q@h", "http://me:***@h"),
            ("iscsi://host:3260/iqn@x/1", "iscsi://host:3260/iqn@x/1"),
            ("iscsi://me@host/iqn/1", "iscsi://me@host/iqn/1"),
            (r#"{"chap_password" : "a\"b","n":1}"#, r#"{"chap_password" : "****","n":1}"#),
            (r#"{"DB_PASSWORD":"x","path":"/a"}"#, r#"{"DB_PASSWORD":"*","path":"/a"}"#),
            (r#"{"password":7,"user":"me"}"#, r#"{"password":7,"user":"me"}"#),
            ("://", "://"),
            (r#""secret":""#, r#""secret":""#),
        ] {
            assert_eq!(hidden(text), wanted);
        }
    }

    #[test]
    fn a_password_amid_other_bytes_is_found() {
        let mut bytes = [&[0u8, 255, 7][..], b"iscsi://me%pw@h/x/1", &[0, 0, 9]].concat();
        hide(&mut bytes);
        assert!(bytes.ends_with(b"iscsi://me%**@h/x/1\0\0\x09"));
    }
}
