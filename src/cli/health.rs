//! `springtide health`: asks a running daemon whether it is ready. An image without a shell has nothing else that could ask.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::settings::HealthAddress;

/// A daemon that takes longer to say so is not ready.
const PATIENCE: Duration = Duration::from_secs(3);
/// The answer is a status line, a few headers and a sentence.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Ask the daemon on this machine or in this container whether it is ready: 0 it is, 1 it is not, 2 it could not be asked.
#[derive(Args)]
#[command(after_help = "Example:\n  springtide health --health-address 127.0.0.1:8081")]
pub struct Health {
    #[command(flatten)]
    at: HealthAddress,
}

impl Health {
    /// Asks, and prints what the daemon says.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let address = reachable(self.at.health_address);
        let answer = ask(address).with_context(|| format!("ask the daemon at http://{address}/readyz; is `springtide run` up?"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        println!("{}", body.trim_end());
        // "HTTP/1.1 200 OK"
        let ready = head.split_whitespace().nth(1) == Some("200");
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// A daemon that listens on all addresses is asked on loopback.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, listening.port())
}

/// One request by hand: this runs every few seconds for as long as a container lives, and an HTTP client would be most of its work.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece, as whoever listens expects of a request this short.
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_on_loopback() {
        let asked = |listening: &str| reachable(listening.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8081"), "127.0.0.1:8081");
        assert_eq!(asked("[::]:8081"), "[::1]:8081");
        assert_eq!(asked("192.0.2.7:99"), "192.0.2.7:99");
    }

    /// What `health` comes to with a daemon that answers so.
    fn against(answer: &'static str) -> ExitCode {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let code = Health { at: HealthAddress { health_address: address } }.run().unwrap();
        assert!(serving.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        code
    }

    #[test]
    fn ready_is_0_and_not_ready_is_1() {
        assert_eq!(against("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"), ExitCode::SUCCESS);
        assert_eq!(against("HTTP/1.1 503 Service Unavailable\r\n\r\nnot yet\n"), ExitCode::from(1));
    }

    #[test]
    fn nobody_there_is_an_error_that_says_where() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Health { at: HealthAddress { health_address: address } }.run().unwrap_err();
        assert!(format!("{error:#}").contains(&address.to_string()), "{error:#}");
    }
}
