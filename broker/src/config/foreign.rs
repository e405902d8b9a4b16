//! Variables that begin like the broker's and are somebody else's.
//!
//! Kubernetes sets variables in every pod for every service of its namespace, and Docker for every
//! linked container; for a service named `wardline-metrics` they begin with `WARDLINE_METRICS_`.
//! Each has an ending that no key has, and where a person might write it by mistake, a value that
//! no person gives. Everything else that begins like the broker's variables is refused: it is more
//! likely a typing error than a stranger. One variable is judged by itself, whatever else is set.

use std::net::IpAddr;

/// Whether a variable, without its prefix, was set for a service beside the broker.
pub(super) fn is_of_a_service(name: &str, value: &str) -> bool {
    // The service may be called like the prefix, and nothing is left of its name.
    let name = format!("_{name}");
    name.ends_with("_SERVICE_HOST") && value.parse::<IpAddr>().is_ok()
        || is_port_of_service(&name) && value.parse::<u16>().is_ok()
        || name.ends_with("_PORT") && is_url(value)
        || name.match_indices("_PORT_").any(|(at, part)| is_of_port(&name[at + part.len()..]))
        || name.ends_with("_NAME") && value.starts_with('/')
        || name.contains("_ENV_")
}

/// `_SERVICE_PORT`, or with the port's name behind it.
fn is_port_of_service(name: &str) -> bool {
    name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_")
}

/// Like `tcp://10.96.0.7:443`.
fn is_url(value: &str) -> bool {
    value.split_once("://").is_some_and(|(scheme, _)| is_transport(scheme))
}

/// What comes behind `_PORT_`: like `443_TCP` or `443_TCP_ADDR`.
fn is_of_port(rest: &str) -> bool {
    let mut parts = rest.split('_');
    let is_number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
    let has_transport = parts.next().is_some_and(is_transport);
    let ends = matches!(
        (parts.next(), parts.next()),
        (None | Some("PROTO" | "PORT" | "ADDR" | "START" | "END"), None)
    );
    is_number && has_transport && ends
}

fn is_transport(name: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn what_kubernetes_and_docker_set_is_passed_over() {
        // For services named wardline, wardline-metrics and wardline-service.
        for service in ["", "METRICS_", "SERVICE_", "LIMITS_"] {
            for (name, value) in [
                ("SERVICE_HOST", "10.96.0.7"),
                ("SERVICE_HOST", "fd00::7"),
                ("SERVICE_PORT", "9433"),
                ("SERVICE_PORT_HTTP_METRICS", "9433"),
                ("PORT", "tcp://10.96.0.7:9433"),
                ("PORT", "udp://[fd00::7]:4433"),
                ("PORT_4433_UDP", "udp://10.96.0.7:4433"),
                ("PORT_4433_UDP_PROTO", "udp"),
                ("PORT_9433_TCP_PORT", "9433"),
                ("PORT_9433_TCP_ADDR", "10.96.0.7"),
                ("NAME", "/clinic/wardline-metrics"),
                ("ENV_LANG", "C.UTF-8"),
            ] {
                assert!(is_of_a_service(&format!("{service}{name}"), value), "{service}{name}={value}");
            }
        }
    }

    #[test]
    fn typing_errors_are_not() {
        for (name, value) in [
            ("PORT", "4433"),
            ("LISTEN_PORT", "4433"),
            ("LISTEN_PORT", "0.0.0.0:4433"),
            ("HTTP_PORT", "9433"),
            ("SERVICE_HOTS", "10.96.0.7"),
            ("SERVICE_HOST", "wardline.example"),
            ("SERVICE_PORT", "many"),
            ("LIMIT_PAYLOAD", "1KiB"),
            ("PORT_UDP", "4433"),
            ("PORT_4433", "4433"),
            ("PORT_4433_QUIC", "4433"),
            ("LISTEN_PORT_4433_UDP_ADDRESS", "0.0.0.0"),
            ("TLS_NAME", "wardline.example"),
            ("STORAGE_PATHS", "/srv/data"),
        ] {
            assert!(!is_of_a_service(name, value), "{name}={value}");
        }
    }

    #[test]
    fn no_key_looks_like_a_service() {
        for key in keys() {
            let name = key.replace('.', "_").to_uppercase();
            for value in ["/srv/data", "10.96.0.7", "4433", "tcp://10.96.0.7:443"] {
                assert!(!is_of_a_service(&name, value), "{key} could never be mistyped");
            }
        }
    }
}
