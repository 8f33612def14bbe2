//! Ports of 127.0.0.1 that nobody else takes between our choosing one and a program's listening on it.
//!
//! Each is booked by a file, so that several test processes at once do not choose the same one.
//! They lie below the range from which the kernel gives ports to outgoing connections, which would otherwise take one now and then.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::owner::Owner;
use crate::places;

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A booked port; free again when dropped.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    booking: PathBuf,
}

impl Port {
    /// Books a port on which nothing listens.
    pub(crate) fn book() -> Result<Self> {
        static TRIED: AtomicU32 = AtomicU32::new(0);
        let owner = Owner::this_process()?;
        let folder = places::ports()?;
        // A hard link appears with its content, so that nobody reads a booking without an owner.
        let ticket = folder.join(format!("{owner}-{}", TRIED.fetch_add(1, Ordering::Relaxed)));
        fs::write(&ticket, owner.to_string()).with_context(|| format!("cannot write {}", ticket.display()))?;
        let mut found = None;
        for _ in 0..COUNT {
            // Processes start at different places, so that they seldom meet.
            let step = TRIED.fetch_add(1, Ordering::Relaxed).wrapping_add(owner.pid.wrapping_mul(61));
            let number = FIRST + u16::try_from(step % u32::from(COUNT)).unwrap_or(0);
            let booking = folder.join(number.to_string());
            match fs::hard_link(&ticket, &booking) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error).with_context(|| format!("cannot book a port in {}", folder.display())),
            }
            let port = Self { number, booking };
            if TcpListener::bind(port.address()).is_ok() {
                found = Some(port);
                break;
            }
        }
        // It is only a name for content that the booking holds on its own.
        let _ = fs::remove_file(&ticket);
        match found {
            Some(port) => Ok(port),
            None => bail!("no port of 127.0.0.1 from {FIRST} on is free; see which are booked in {}", folder.display()),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }

    /// Whether somebody listens on it.
    pub(crate) async fn accepts(&self) -> bool {
        tokio::net::TcpStream::connect(self.address()).await.is_ok()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // A booking that stays is swept once this process is gone.
        let _ = fs::remove_file(&self.booking);
    }
}

/// Gives up bookings of processes that are gone.
pub(crate) fn sweep() -> Result<()> {
    for entry in fs::read_dir(places::ports()?)?.flatten() {
        let owner = fs::read_to_string(entry.path()).ok().and_then(|text| text.parse::<Owner>().ok());
        if owner.is_some_and(|owner| !owner.is_alive()) {
            // Another process may sweep at the same time.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
