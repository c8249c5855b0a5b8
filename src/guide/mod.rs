//! Guides: the cookbook, and the documents of the repository.
//!
//! Start with the [`cookbook`]. Every program in it is compiled with the tests of this crate.

// In these documents a link to a file of the repository leads to the module that shows it.

/// Short programs for common jobs, each complete.
#[cfg_attr(all(target_os = "linux", feature = "client"), doc = include_str!("cookbook.md"))]
#[cfg_attr(
    not(all(target_os = "linux", feature = "client")),
    doc = "The programs need sockets: they are shown if the feature `client` is enabled on Linux."
)]
pub mod cookbook {}

/// The README of the repository.
///
/// [DESIGN.md]: design
/// [COMPARE.md]: compare
/// [KERNEL.md]: kernel
/// [CHANGELOG.md]: changelog
/// [CONTRIBUTING.md]: contributing
/// [SECURITY.md]: security
///
#[doc = include_str!("../../README.md")]
pub mod readme {}

/// The architecture of the crate and the reasons behind it.
///
#[doc = include_str!("../../DESIGN.md")]
pub mod design {}

/// Kernel versions, permissions, settings, and kernel bugs with their workarounds.
///
#[doc = include_str!("../../KERNEL.md")]
pub mod kernel {}

/// Other libraries, compared by features and by measured speed.
///
#[doc = include_str!("../../COMPARE.md")]
pub mod compare {}

/// Changes in each version.
///
#[doc = include_str!("../../CHANGELOG.md")]
pub mod changelog {}

/// How to run, test, fuzz, measure and extend the crate.
///
/// [DESIGN.md]: design
///
#[doc = include_str!("../../CONTRIBUTING.md")]
pub mod contributing {}

/// The threat model, and how to report a vulnerability.
///
#[doc = include_str!("../../SECURITY.md")]
pub mod security {}
