//! The error numbers that the kernel answers with.

use core::fmt;

/// An error number of Linux. Those above 34 differ between architectures: the constants are those of the target.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number")]
pub struct Errno(
    /// The number, positive.
    pub i32,
);

macro_rules! errnos {
    ($( $name:ident = $number:expr, )*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub const $name: Self = Self($number);
            )*

            /// The name, where this crate knows it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                $(
                    if self.0 == Self::$name.0 {
                        return Some(stringify!($name));
                    }
                )*
                None
            }
        }
    };
}

/// The number on most architectures, on MIPS, and on SPARC (`asm/errno.h` of each).
const fn by_architecture(most: i32, mips: i32, sparc: i32) -> i32 {
    if cfg!(any(target_arch = "mips", target_arch = "mips32r6", target_arch = "mips64", target_arch = "mips64r6")) {
        mips
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        sparc
    } else {
        most
    }
}

errnos! {
    EPERM = 1,
    ENOENT = 2,
    EINTR = 4,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EBUSY = 16,
    EEXIST = 17,
    EINVAL = 22,
    ENFILE = 23,
    EMFILE = 24,
    ENOSPC = 28,
    ERANGE = 34,
    ETIME = by_architecture(62, 62, 73),
    EMSGSIZE = by_architecture(90, 97, 40),
    EPROTONOSUPPORT = by_architecture(93, 120, 43),
    EOPNOTSUPP = by_architecture(95, 122, 45),
    EAFNOSUPPORT = by_architecture(97, 124, 47),
    ENOBUFS = by_architecture(105, 132, 55),
    ESHUTDOWN = by_architecture(108, 143, 58),
    EALREADY = by_architecture(114, 149, 37),
}

impl fmt::Display for Errno {
    /// Prints the name, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
