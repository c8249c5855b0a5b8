//! The documents of the repository. Their code runs with the tests of the documentation.

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
