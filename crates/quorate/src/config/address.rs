//! The addresses of nodes, as far as their text alone says what is wrong.

use super::{ConfigError, Node};

/// Every address is a host and a port that the others can reach.
pub(super) fn check(nodes: &[Node]) -> Result<(), ConfigError> {
    for node in nodes {
        for address in &node.addresses {
            fault(address).map_or(Ok(()), |fault| {
                Err(ConfigError::new(
                    format!("nodes.{}.addresses", node.name),
                    format!("{address:?} {fault}"),
                    "write a host that the other nodes reach and a port, as in 10.0.0.1:7400",
                ))
            })?;
        }
    }
    Ok(())
}

fn fault(address: &str) -> Option<&'static str> {
    let Some((host, port)) = address.rsplit_once(':') else { return Some("has no port") };
    let is_bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    match port.parse::<u16>() {
        _ if host.is_empty() => Some("has no host"),
        _ if is_bare_v6 => Some("has an IPv6 address without brackets"),
        Err(_) => Some("has no port from 1 to 65535"),
        Ok(0) => Some("has the port 0, which no other node could know"),
        Ok(_) if matches!(host, "0.0.0.0" | "[::]") => {
            Some("is every address of its host, and none that the others could reach")
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port_that_others_can_reach() {
        for good in ["10.0.0.1:7400", "host-1.example.org:1", "[fe80::1]:65535"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["10.0.0.1", ":7400", "h:", "h:0", "h:65536", "0.0.0.0:7", "[::]:7", "::1:7"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
