//! The configuration of a fake kernel.

use super::{FakeKernel, kernel::Kernel, kernel::KernelSettings, release::Release, socket::Shared};
use crate::model::Timestamp;

/// Configures a [`FakeKernel`]. The defaults are those of Linux 6.18.
///
/// # Example
///
/// ```
/// use ctnetlink::{ErrorKind, NewFlow, fake::FakeKernel};
///
/// let kernel = FakeKernel::builder().accounting(true).max(1).build();
/// let flow = kernel.insert(&NewFlow::udp("192.0.2.1:40000".parse()?, "192.0.2.2:53".parse()?))?;
/// assert_eq!(flow.total_counters().map(|total| total.packets), Some(0));
///
/// let second = NewFlow::udp("192.0.2.1:40001".parse()?, "192.0.2.2:53".parse()?);
/// assert_eq!(kernel.insert(&second).unwrap_err().kind(), ErrorKind::NoSpace);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeKernelBuilder {
    settings: KernelSettings,
    events: Option<u8>,
    is_privileged: bool,
}

impl FakeKernelBuilder {
    pub(super) fn new() -> Self {
        let settings = KernelSettings {
            release: Release::DEFAULT,
            accounting: false,
            timestamps: false,
            events: 2,
            labels: false,
            max: 262_144,
            expect_max: 4096,
            processors: 2,
            entries_per_datagram: usize::MAX,
            receive_buffer: 212_992,
            started: Timestamp::now(),
        };
        Self { settings, events: None, is_privileged: true }
    }

    /// Imitates this version of Linux, 5.4 or later. Older versions ignore filters that they do not know and send fewer
    /// attributes in events. Which single values a request may carry is always as in 6.18, since stable updates change that.
    pub const fn linux(mut self, major: u32, minor: u32) -> Self {
        self.settings.release = Release(major, minor);
        self
    }

    /// Counts packets and bytes (`nf_conntrack_acct`). Off by default, as in Linux.
    pub const fn accounting(mut self, on: bool) -> Self {
        self.settings.accounting = on;
        self
    }

    /// Records the start and the end of flows (`nf_conntrack_timestamp`). Off by default, as in Linux.
    pub const fn timestamps(mut self, on: bool) -> Self {
        self.settings.timestamps = on;
        self
    }

    /// Sets `nf_conntrack_events`: 0 sends no events, 1 sends all events, and 2 sends events only for flows that began
    /// while a socket was listening. The default is 2, and 1 before Linux 5.19.
    pub const fn events(mut self, setting: u8) -> Self {
        self.events = Some(setting);
        self
    }

    /// Gives new flows room for labels, as any rule with `ct label` does. Off by default.
    pub const fn labels(mut self, on: bool) -> Self {
        self.settings.labels = on;
        self
    }

    /// Limits the table to this many flows (`nf_conntrack_max`). A create beyond the limit fails with `ENOMEM`.
    pub const fn max(mut self, flows: usize) -> Self {
        self.settings.max = flows;
        self
    }

    /// Sets the number of processors in the per-processor statistics. The default is 2.
    pub const fn processors(mut self, count: u16) -> Self {
        self.settings.processors = count;
        self
    }

    /// Limits the number of entries in each datagram of a dump. With 1, a test can change the table between two entries of
    /// a small dump. Like Linux, the fake kernel prepares the next datagram when one is received.
    pub const fn entries_per_datagram(mut self, count: usize) -> Self {
        self.settings.entries_per_datagram = if count == 0 { 1 } else { count };
        self
    }

    /// Sets the receive buffer of clients in bytes. An acknowledgement takes 832 of them.
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.settings.receive_buffer = bytes;
        self
    }

    /// Denies every request, as Linux does without `CAP_NET_ADMIN`: see [`FakeKernel::set_privileged`].
    pub const fn unprivileged(mut self) -> Self {
        self.is_privileged = false;
        self
    }

    /// Starts the kernel, with empty tables.
    #[must_use]
    pub fn build(self) -> FakeKernel {
        let mut settings = self.settings;
        let by_default = if settings.release < Release::AUTOMATIC_EVENTS { 1 } else { 2 };
        settings.events = self.events.unwrap_or(by_default);
        let mut kernel = Kernel::new(settings);
        kernel.is_privileged = self.is_privileged;
        FakeKernel { shared: Shared::new(kernel) }
    }
}
