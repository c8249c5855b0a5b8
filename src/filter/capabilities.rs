//! What filters a kernel understands.

/// What filters the running kernel understands.
///
/// A kernel passes over attributes that it does not know: asked to flush by a filter that it does not understand, it
/// flushes everything. So nothing is taken for granted here, and a client probes for what it uses.
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
    /// `CTA_MARK` with `CTA_MARK_MASK` selects, in a dump and a flush. Any kernel built with
    /// `CONFIG_NF_CONNTRACK_MARK`; such a kernel puts a mark into every entry of a dump.
    pub mark_filter: bool,
    /// A flush honours the family, if its version is not 0. Linux 5.2.
    pub flush_family: bool,
    /// `CTA_FILTER` selects by parts of the tuples in a dump. Linux 5.8.
    pub dump_tuple_filter: bool,
    /// `CTA_STATUS` with `CTA_STATUS_MASK` selects, in a dump and a flush. Linux 5.15.
    pub status_filter: bool,
    /// `CTA_ZONE` selects, in a dump and a flush. Linux 6.8.
    pub zone_filter: bool,
    /// `CTA_FILTER` selects by parts of the tuples in a flush. Linux 6.12.
    pub flush_tuple_filter: bool,
}

impl Capabilities {
    /// Nothing but the family of a dump, which every kernel honours.
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

    /// What the release of that number understands, if it was built with marks.
    ///
    /// Distributions carry features back and leave options out: probing tells more.
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
