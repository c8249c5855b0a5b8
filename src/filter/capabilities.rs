//! Filters that a kernel understands.

/// The filters that a kernel understands in dumps and flushes.
///
/// A kernel silently skips attributes that it does not know: a flush with an unknown filter empties the table. A client
/// therefore probes the running kernel for each capability before it uses it
/// ([`Client::capabilities`](crate::Client::capabilities)).
///
/// # Example
///
/// ```
/// use ctnetlink::filter::Capabilities;
///
/// assert!(Capabilities::linux(6, 1).status_filter);
/// assert!(!Capabilities::linux(6, 1).flush_tuple_filter);
/// assert!(!Capabilities::none().mark_filter);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Capabilities {
    /// `CTA_MARK` with `CTA_MARK_MASK` selects flows in dumps and flushes. Needs a kernel with
    /// `CONFIG_NF_CONNTRACK_MARK`, which also puts a mark into every entry of a dump.
    pub mark_filter: bool,
    /// A flush honors the family if the version of its header is not 0. Since Linux 5.2.
    pub flush_family: bool,
    /// `CTA_FILTER` selects flows by parts of their tuples in dumps. Since Linux 5.8.
    pub dump_tuple_filter: bool,
    /// `CTA_STATUS` with `CTA_STATUS_MASK` selects flows in dumps and flushes. Since Linux 5.15.
    pub status_filter: bool,
    /// `CTA_ZONE` selects flows in dumps and flushes. Since Linux 6.8.
    pub zone_filter: bool,
    /// `CTA_FILTER` selects flows by parts of their tuples in flushes. Since Linux 6.12.
    pub flush_tuple_filter: bool,
}

impl Capabilities {
    /// No capability but the family of a dump, which every kernel honors.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            mark_filter: false,
            flush_family: false,
            dump_tuple_filter: false,
            status_filter: false,
            zone_filter: false,
            flush_tuple_filter: false,
        }
    }

    /// The capabilities of a release of Linux that was built with marks.
    ///
    /// Distributions backport features and disable options, so a probe of the running kernel is more reliable.
    #[must_use]
    pub const fn linux(major: u32, minor: u32) -> Self {
        const fn since(release: (u32, u32), major: u32, minor: u32) -> bool {
            major > release.0 || (major == release.0 && minor >= release.1)
        }
        Self {
            mark_filter: true,
            flush_family: since((5, 2), major, minor),
            dump_tuple_filter: since((5, 8), major, minor),
            status_filter: since((5, 15), major, minor),
            zone_filter: since((6, 8), major, minor),
            flush_tuple_filter: since((6, 12), major, minor),
        }
    }
}
