//! What Linux tells of the broker's UDP socket: packets that wait in its receive buffer, and those
//! for which it was too small.
//!
//! From `/proc/net/udp` and `udp6` (proc(5)), one line a socket; elsewhere there is nothing to
//! tell.

use std::fs;
use std::net::SocketAddr;

/// How a socket's receive buffer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// Bytes that wait.
    pub(crate) queue_bytes: u64,
    /// Packets dropped for lack of room, since it was opened.
    pub(crate) dropped: u64,
}

/// Looks at the socket that is bound to `address`.
pub(crate) fn look(address: SocketAddr) -> Option<Buffer> {
    let table = if address.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    find(&fs::read_to_string(table).ok()?, address)
}

fn find(table: &str, address: SocketAddr) -> Option<Buffer> {
    let wanted = local(address);
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, receive) = columns.get(4)?.split_once(':')?;
        (*columns.get(1)? == wanted).then_some(Buffer {
            queue_bytes: u64::from_str_radix(receive, 16).ok()?,
            dropped: columns.last()?.parse().ok()?,
        })
    })
}

/// As the kernel writes it: words of 32 bits in the machine's order, in hexadecimal, and the port.
fn local(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let words: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{words}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn finds_the_line_of_its_socket() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             12: 0100007F:1151 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 3\n\
             13: 0100007F:1152 00000000:0000 07 00000000:00001F00 00:00000000 00000000     0        0 8 2 0 42\n";
        if cfg!(target_endian = "little") {
            let found = find(table, ([127, 0, 0, 1], 4434).into());
            assert_eq!(found, Some(Buffer { queue_bytes: 0x1f00, dropped: 42 }));
        }
        assert_eq!(find(table, ([127, 0, 0, 1], 4435).into()), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_of_packets_that_wait() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to look at.
            let Ok(socket) = UdpSocket::bind(any) else { continue };
            let address = socket.local_addr().expect("it is bound");
            let before = look(address).expect("the socket is listed");
            assert_eq!(before, Buffer { queue_bytes: 0, dropped: 0 });
            UdpSocket::bind(any).and_then(|other| other.send_to(b"hello", address)).expect("sent");
            assert!(look(address).expect("it is listed still").queue_bytes > 0);
        }
    }
}
