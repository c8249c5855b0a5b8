//! Ours and conntrack(8), side by side.

use crate::cases;

cases! {}
