//! A table, entry by entry.

use super::Socket;
use crate::{
    error::Error,
    exchange::{Connection, Replies},
    model::{Expectation, ExpectationRef, Flow, FlowRef},
};

/// Declares a dump: views that are lent one at a time, and an iterator of values.
macro_rules! dumps {
    ($( $(#[$meta:meta])* $name:ident, $iterator:ident: $view:ident => $value:ident; )*) => { $(
        $(#[$meta])*
        #[derive(Debug)]
        #[must_use = "nothing is received until `next` is called"]
        pub struct $name<'c> {
            replies: Replies,
            connection: &'c mut Connection<Socket>,
        }

        impl<'c> $name<'c> {
            pub(super) const fn new(replies: Replies, connection: &'c mut Connection<Socket>) -> Self {
                Self { replies, connection }
            }

            /// The next entry, read where it lies in the receive buffer; `None` after the last.
            ///
            /// # Errors
            ///
            /// An error of the kernel or the socket ends the dump. An entry that does not decode is an error and not
            /// the end.
            #[allow(clippy::should_implement_trait, reason = "it lends, which `Iterator` cannot")]
            pub fn next(&mut self) -> Option<Result<$view<'_>, Error>> {
                match self.replies.next(self.connection) {
                    Ok(Some(message)) => Some($view::parse(&message).map_err(Error::from)),
                    Ok(None) => None,
                    Err(error) => Some(Err(error)),
                }
            }
        }

        impl<'c> IntoIterator for $name<'c> {
            type Item = Result<$value, Error>;
            type IntoIter = $iterator<'c>;

            fn into_iter(self) -> $iterator<'c> {
                $iterator(self)
            }
        }

        #[doc = concat!("The entries of a [`", stringify!($name), "`] as values.")]
        #[derive(Debug)]
        pub struct $iterator<'c>($name<'c>);

        impl Iterator for $iterator<'_> {
            type Item = Result<$value, Error>;

            fn next(&mut self) -> Option<Self::Item> {
                match self.0.replies.next(self.0.connection) {
                    Ok(Some(message)) => Some($value::decode(&message).map_err(Error::from)),
                    Ok(None) => None,
                    Err(error) => Some(Err(error)),
                }
            }
        }
    )* };
}

dumps! {
    /// A dump of flows under way.
    ///
    /// Entries are lent one at a time by [`next`](Self::next), or taken as values by a `for` loop. Memory does not grow
    /// with the table. One that is dropped before its end is given up, and the client is free for the next request.
    ///
    /// A flow that is in the table all the while comes once, but where the flow at which the kernel paused has ended,
    /// the flows of its hash bucket come again; and if the table is resized meanwhile, flows may come twice or not at
    /// all, without a sign. Identifier, original tuple and zone tell duplicates.
    FlowDump, FlowIterator: FlowRef => Flow;
    /// A dump of expectations under way. See [`FlowDump`].
    ExpectationDump, ExpectationIterator: ExpectationRef => Expectation;
}
