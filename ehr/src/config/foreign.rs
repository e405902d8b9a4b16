//! Variables that begin like the bridge's and are somebody else's.
//!
//! Kubernetes and Docker set variables for a service beside the bridge; for one named
//! `wardline-ehr` they begin like ours. Each has an ending that no key has, and where a person
//! might write it by mistake, a value that no person gives. All else that begins so is refused: it
//! is more likely a typing error than a stranger.

use std::net::IpAddr;

/// Whether a variable, without its prefix, was set for a service beside the bridge.
pub(super) fn is_of_a_service(name: &str, value: &str) -> bool {
    // The service may be called like the prefix, and nothing is left of its name.
    let name = format!("_{name}");
    let is_port = name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_");
    name.ends_with("_SERVICE_HOST") && value.parse::<IpAddr>().is_ok()
        || is_port && value.parse::<u16>().is_ok()
        || name.ends_with("_PORT") && value.split_once("://").is_some_and(|(scheme, _)| is_transport(scheme))
        || name.match_indices("_PORT_").any(|(at, part)| is_of_port(&name[at + part.len()..]))
        || name.ends_with("_NAME") && value.starts_with('/')
        || name.contains("_ENV_")
}

/// What comes behind `_PORT_`: like `2575_TCP` or `2575_TCP_ADDR`.
fn is_of_port(rest: &str) -> bool {
    let mut parts = rest.split('_');
    let is_number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
    let has_transport = parts.next().is_some_and(is_transport);
    let last = parts.next();
    let ends = last.is_none_or(|last| ["PROTO", "PORT", "ADDR", "START", "END"].contains(&last));
    is_number && has_transport && ends && parts.next().is_none()
}

fn is_transport(name: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn what_kubernetes_and_docker_set_is_passed_over_and_typing_errors_are_not() {
        for service in ["", "METRICS_"] {
            for (name, value) in [
                ("SERVICE_HOST", "10.96.0.7"),
                ("SERVICE_PORT", "2575"),
                ("SERVICE_PORT_MLLP", "2575"),
                ("PORT", "tcp://10.96.0.7:2575"),
                ("PORT_2575_TCP", "tcp://10.96.0.7:2575"),
                ("PORT_2575_TCP_ADDR", "10.96.0.7"),
                ("NAME", "/clinic/wardline-ehr"),
                ("ENV_LANG", "C.UTF-8"),
            ] {
                assert!(is_of_a_service(&format!("{service}{name}"), value), "{service}{name}");
            }
        }
        for (name, value) in [
            ("PORT", "2575"),
            ("SERVICE_HOTS", "10.96.0.7"),
            ("SERVICE_PORT", "many"),
            ("PORT_2575", "2575"),
            ("PORT_2575_MLLP", "2575"),
            ("BROKER_NAME", "broker.example"),
        ] {
            assert!(!is_of_a_service(name, value), "{name}");
        }
        for key in keys() {
            let name = key.replace('.', "_").to_uppercase();
            assert!(!is_of_a_service(&name, "10.96.0.7"), "{key} could never be mistyped");
        }
    }
}
