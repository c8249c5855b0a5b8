//! The settings of connection tracking: every `net.netfilter.nf_conntrack_*`.
//!
//! They are files in `/proc/sys`, which belong to the network namespace of the thread that opens them; for another
//! namespace there are [`Sysctl::read_in`] and [`Sysctl::write_in`]. A setting that this kernel lacks fails with
//! [`NotFound`](io::ErrorKind::NotFound).
//!
//! # Examples
//!
//! ```no_run
//! use ctnetlink::sysctl::{self, Sysctl};
//!
//! if sysctl::ACCOUNTING.read()? == 0 {
//!     eprintln!("warning: {}=0: new flows have no counters", sysctl::ACCOUNTING.name());
//! }
//! let timeout = Sysctl::new("nf_conntrack_udp_timeout")?;
//! println!("{} seconds", timeout.read()?);
//! # Ok::<(), ctnetlink::Error>(())
//! ```

use std::{borrow::Cow, fmt, fs, io};

use super::NetworkNamespace;
use crate::error::{Error, ErrorKind};

const FOLDER: &str = "/proc/sys/net/netfilter/";
const PREFIX: &str = "nf_conntrack_";

/// One setting: a number in a file.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::sysctl::{self, Sysctl};
///
/// println!("room for {} flows", sysctl::MAX.read()?);
/// let timeout = Sysctl::new("udp_timeout_stream")?; // by name, for example from a configuration file
/// timeout.write(180)?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sysctl {
    path: Cow<'static, str>,
}

/// Declares the settings by their names after `nf_conntrack_`.
macro_rules! settings {
    ($( $(#[$meta:meta])* $constant:ident = $name:literal; )*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("\n\n`nf_conntrack_", $name, "`")]
            pub const $constant: Sysctl =
                Sysctl { path: Cow::Borrowed(concat!("/proc/sys/net/netfilter/nf_conntrack_", $name)) };
        )*

        /// Every setting that this crate has a constant for. No kernel has all of them.
        pub const ALL: &[Sysctl] = &[$( $constant ),*];
    };
}

settings! {
    /// Whether flows count packets and bytes: 0 (the default) or 1. Applies to flows that begin afterwards.
    ACCOUNTING = "acct";
    /// Whether flows carry the times of their start and stop: 0 (the default) or 1. Applies to flows that begin afterwards.
    TIMESTAMP = "timestamp";
    /// Whether events are sent: 0 never, 1 always, 2 (the default since Linux 5.19) for flows that began while somebody listened.
    EVENTS = "events";
    /// The most flows that there may be. Writable in the initial network namespace only; each namespace is held to it by its own count.
    MAX = "max";
    /// The number of flows. Read-only.
    COUNT = "count";
    /// The number of buckets of the hash table. Writable in the initial network namespace only.
    BUCKETS = "buckets";
    /// The most expectations that there may be.
    EXPECT_MAX = "expect_max";
    /// Whether helpers are assigned to flows by their ports: 0 or 1. Removed in Linux 6.0.
    HELPER = "helper";
    /// Whether checksums of incoming packets are verified: 0 or 1 (the default).
    CHECKSUM = "checksum";
    /// The protocol number whose invalid packets are logged: 0 for none, 255 for all.
    LOG_INVALID = "log_invalid";
    /// Whether connections that are already established are picked up: 0 or 1 (the default).
    TCP_LOOSE = "tcp_loose";
    /// Whether only RST segments outside the window are invalid: 0 (the default) or 1.
    TCP_BE_LIBERAL = "tcp_be_liberal";
    /// Whether RST segments outside the window are ignored: 0 (the default) or 1. Linux 5.15.
    TCP_IGNORE_INVALID_RST = "tcp_ignore_invalid_rst";
    /// The retransmissions without an acknowledgement after which [`TCP_TIMEOUT_MAX_RETRANS`] applies.
    TCP_MAX_RETRANS = "tcp_max_retrans";
    /// Seconds until a TCP flow in state SYN_SENT ends without a packet.
    TCP_TIMEOUT_SYN_SENT = "tcp_timeout_syn_sent";
    /// Seconds until a TCP flow in state SYN_RECV ends without a packet.
    TCP_TIMEOUT_SYN_RECV = "tcp_timeout_syn_recv";
    /// Seconds until a TCP flow in state ESTABLISHED ends without a packet.
    TCP_TIMEOUT_ESTABLISHED = "tcp_timeout_established";
    /// Seconds until a TCP flow in state FIN_WAIT ends without a packet.
    TCP_TIMEOUT_FIN_WAIT = "tcp_timeout_fin_wait";
    /// Seconds until a TCP flow in state CLOSE_WAIT ends without a packet.
    TCP_TIMEOUT_CLOSE_WAIT = "tcp_timeout_close_wait";
    /// Seconds until a TCP flow in state LAST_ACK ends without a packet.
    TCP_TIMEOUT_LAST_ACK = "tcp_timeout_last_ack";
    /// Seconds until a TCP flow in state TIME_WAIT ends without a packet.
    TCP_TIMEOUT_TIME_WAIT = "tcp_timeout_time_wait";
    /// Seconds until a TCP flow in state CLOSE ends without a packet.
    TCP_TIMEOUT_CLOSE = "tcp_timeout_close";
    /// Seconds until a TCP flow ends whose segments are retransmitted without an answer.
    TCP_TIMEOUT_MAX_RETRANS = "tcp_timeout_max_retrans";
    /// Seconds until a TCP flow ends that waits for an acknowledgement.
    TCP_TIMEOUT_UNACKNOWLEDGED = "tcp_timeout_unacknowledged";
    /// Seconds until a UDP flow that was not answered, or not for long, ends without a packet.
    UDP_TIMEOUT = "udp_timeout";
    /// Seconds until a UDP flow that carries a conversation ends without a packet.
    UDP_TIMEOUT_STREAM = "udp_timeout_stream";
    /// Seconds until a SCTP flow in state CLOSED ends without a packet.
    SCTP_TIMEOUT_CLOSED = "sctp_timeout_closed";
    /// Seconds until a SCTP flow in state COOKIE_WAIT ends without a packet.
    SCTP_TIMEOUT_COOKIE_WAIT = "sctp_timeout_cookie_wait";
    /// Seconds until a SCTP flow in state COOKIE_ECHOED ends without a packet.
    SCTP_TIMEOUT_COOKIE_ECHOED = "sctp_timeout_cookie_echoed";
    /// Seconds until a SCTP flow in state ESTABLISHED ends without a packet.
    SCTP_TIMEOUT_ESTABLISHED = "sctp_timeout_established";
    /// Seconds until a SCTP flow in state SHUTDOWN_SENT ends without a packet.
    SCTP_TIMEOUT_SHUTDOWN_SENT = "sctp_timeout_shutdown_sent";
    /// Seconds until a SCTP flow in state SHUTDOWN_RECD ends without a packet.
    SCTP_TIMEOUT_SHUTDOWN_RECD = "sctp_timeout_shutdown_recd";
    /// Seconds until a SCTP flow in state SHUTDOWN_ACK_SENT ends without a packet.
    SCTP_TIMEOUT_SHUTDOWN_ACK_SENT = "sctp_timeout_shutdown_ack_sent";
    /// Seconds until a SCTP flow in state HEARTBEAT_SENT ends without a packet.
    SCTP_TIMEOUT_HEARTBEAT_SENT = "sctp_timeout_heartbeat_sent";
    /// Seconds until an SCTP flow in state HEARTBEAT_ACKED ends without a packet. Removed in Linux 6.3.
    SCTP_TIMEOUT_HEARTBEAT_ACKED = "sctp_timeout_heartbeat_acked";
    /// Whether DCCP connections that are already established are picked up: 0 or 1 (the default). Removed in Linux 6.17.
    DCCP_LOOSE = "dccp_loose";
    /// Seconds until a DCCP flow in state REQUEST ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_REQUEST = "dccp_timeout_request";
    /// Seconds until a DCCP flow in state RESPOND ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_RESPOND = "dccp_timeout_respond";
    /// Seconds until a DCCP flow in state PARTOPEN ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_PARTOPEN = "dccp_timeout_partopen";
    /// Seconds until a DCCP flow in state OPEN ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_OPEN = "dccp_timeout_open";
    /// Seconds until a DCCP flow in state CLOSEREQ ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_CLOSEREQ = "dccp_timeout_closereq";
    /// Seconds until a DCCP flow in state CLOSING ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_CLOSING = "dccp_timeout_closing";
    /// Seconds until a DCCP flow in state TIMEWAIT ends without a packet. Removed in Linux 6.17.
    DCCP_TIMEOUT_TIMEWAIT = "dccp_timeout_timewait";
    /// Seconds until a GRE flow that was not answered ends without a packet.
    GRE_TIMEOUT = "gre_timeout";
    /// Seconds until an answered GRE flow ends without a packet.
    GRE_TIMEOUT_STREAM = "gre_timeout_stream";
    /// Seconds until an ICMP flow ends without a packet.
    ICMP_TIMEOUT = "icmp_timeout";
    /// Seconds until an ICMPv6 flow ends without a packet.
    ICMPV6_TIMEOUT = "icmpv6_timeout";
    /// Seconds until a flow of any other protocol ends without a packet.
    GENERIC_TIMEOUT = "generic_timeout";
    /// Seconds that fragments of an IPv6 packet are kept.
    FRAG6_TIMEOUT = "frag6_timeout";
    /// Bytes of IPv6 fragments below which new ones are accepted again.
    FRAG6_LOW_THRESH = "frag6_low_thresh";
    /// Bytes of IPv6 fragments from which on new ones are dropped.
    FRAG6_HIGH_THRESH = "frag6_high_thresh";
}

impl Sysctl {
    /// A setting by its name, for kernels with settings that this crate has no constant for.
    ///
    /// ```
    /// use ctnetlink::sysctl::Sysctl;
    ///
    /// assert!(Sysctl::new("nf_conntrack_tcp_no_window_check").is_ok());
    /// assert!(Sysctl::new("../ipv4/ip_forward").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if the name does not start with `nf_conntrack_`, or contains anything but lower-case
    /// letters, digits and underscores. Whether the kernel has the setting shows when it is read.
    pub fn new(name: &str) -> Result<Self, Error> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        match name.strip_prefix(PREFIX) {
            Some(rest) if !rest.is_empty() && rest.bytes().all(is_word) => {
                Ok(Self { path: Cow::Owned(format!("{FOLDER}{name}")) })
            }
            _ => Err(Error::message(ErrorKind::InvalidInput, "expected a name like `nf_conntrack_max`")),
        }
    }

    /// Returns the name: `nf_conntrack_max`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.strip_prefix(FOLDER).unwrap_or(&self.path)
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads the setting in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing (this kernel lacks the setting, or connection tracking is not loaded) or does not
    /// contain a number. The error names the file.
    pub fn read(&self) -> io::Result<u32> {
        let text = fs::read_to_string(self.path()).map_err(|error| self.explain(error))?;
        let invalid = |error| self.explain(io::Error::new(io::ErrorKind::InvalidData, error));
        text.trim().parse().map_err(invalid)
    }

    /// Changes the setting in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing or may not be written. The error names the file.
    pub fn write(&self, value: u32) -> io::Result<()> {
        fs::write(self.path(), value.to_string()).map_err(|error| self.explain(error))
    }

    /// Reads the setting in another network namespace, on a thread that enters it.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`NetworkNamespace::run`].
    pub fn read_in(&self, namespace: &NetworkNamespace) -> io::Result<u32> {
        namespace.run(|| self.read())?
    }

    /// Changes the setting in another network namespace, on a thread that enters it.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write) and [`NetworkNamespace::run`].
    pub fn write_in(&self, namespace: &NetworkNamespace, value: u32) -> io::Result<()> {
        namespace.run(|| self.write(value))?
    }

    fn explain(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path))
    }
}

impl fmt::Debug for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sysctl({})", self.name())
    }
}
