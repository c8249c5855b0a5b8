//! The documents of the repository. Their code runs with the tests of the documentation.

// The first definition of a link counts: files in the repository are modules here.

/// [DESIGN.md]: design
/// [COMPARE.md]: compare
/// [KERNEL.md]: kernel
/// [CHANGELOG.md]: changelog
/// [CONTRIBUTING.md]: contributing
/// [SECURITY.md]: security
///
#[doc = include_str!("../README.md")]
pub mod readme {}

#[doc = include_str!("../DESIGN.md")]
pub mod design {}

#[doc = include_str!("../KERNEL.md")]
pub mod kernel {}

#[doc = include_str!("../COMPARE.md")]
pub mod compare {}

#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}

/// [DESIGN.md]: design
///
#[doc = include_str!("../CONTRIBUTING.md")]
pub mod contributing {}

#[doc = include_str!("../SECURITY.md")]
pub mod security {}
