//! Dump by a filter.

use super::{Client, Socket};
use crate::{
    error::Error,
    exchange::{Connection, Replies},
    filter::{Filter, KernelFilter},
    model::{Flow, FlowRef, Timestamp},
    request::DumpFlows,
};

impl Client {
    /// The flows that a filter matches. What of it the kernel does, [`Filter::plan`] tells; every flow that comes is
    /// held against the whole filter again.
    ///
    /// # Errors
    ///
    /// Where the kernel's capabilities cannot be asked for. That it refuses the dump is an item of it.
    pub fn dump_matching<'c>(&'c mut self, filter: &'c Filter) -> Result<FilteredDump<'c>, Error> {
        let dumps = filter.plan(&self.capabilities()?).dumps().to_vec();
        Ok(FilteredDump::new(filter, dumps, &mut self.connection))
    }
}

/// The flows that a filter matches: one dump, or one for each family.
#[derive(Debug)]
#[must_use = "nothing is asked for until `next` is called"]
pub struct FilteredDump<'c> {
    filter: &'c Filter,
    now: Timestamp,
    dumps: std::vec::IntoIter<KernelFilter>,
    replies: Option<Replies>,
    connection: &'c mut Connection<Socket>,
}

impl<'c> FilteredDump<'c> {
    pub(super) fn new(filter: &'c Filter, dumps: Vec<KernelFilter>, connection: &'c mut Connection<Socket>) -> Self {
        Self { filter, now: Timestamp::now(), dumps: dumps.into_iter(), replies: None, connection }
    }

    /// The next flow, read where it lies in the receive buffer; `None` after the last.
    ///
    /// # Errors
    ///
    /// An error of the kernel or the socket ends the dump. An entry that does not decode is an error and not the end.
    #[allow(clippy::should_implement_trait, reason = "it lends, which `Iterator` cannot")]
    pub fn next(&mut self) -> Option<Result<FlowRef<'_>, Error>> {
        match self.advance() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        }
        // It was read to be matched; reading it again frees the loop from holding it while the buffer is filled.
        let message = self.replies.as_mut().and_then(|replies| replies.current(self.connection));
        message.map(|message| FlowRef::parse(&message).map_err(Error::from))
    }

    /// Goes on to the next flow that matches; `false` at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            let Some(replies) = &mut self.replies else {
                let Some(filter) = self.dumps.next() else { return Ok(false) };
                let replies = self.connection.start(&DumpFlows::new().matching(filter));
                self.replies = Some(replies.map_err(|error| end(&mut self.dumps, error))?);
                continue;
            };
            let message = replies.next(self.connection).map_err(|error| end(&mut self.dumps, error))?;
            match message {
                None => self.replies = None,
                Some(message) if self.filter.matches_at(&FlowRef::parse(&message)?, self.now) => return Ok(true),
                Some(_) => {}
            }
        }
    }
}

/// An error of the kernel or the socket ends the dumps that were to follow too.
fn end(dumps: &mut std::vec::IntoIter<KernelFilter>, error: Error) -> Error {
    if error.ends_answer() {
        *dumps = Vec::new().into_iter();
    }
    error
}

impl<'c> IntoIterator for FilteredDump<'c> {
    type Item = Result<Flow, Error>;
    type IntoIter = FilteredIterator<'c>;

    fn into_iter(self) -> FilteredIterator<'c> {
        FilteredIterator(self)
    }
}

/// The flows of a [`FilteredDump`] as values.
#[derive(Debug)]
pub struct FilteredIterator<'c>(FilteredDump<'c>);

impl Iterator for FilteredIterator<'_> {
    type Item = Result<Flow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|flow| flow.map(|flow| flow.to_flow()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Family};

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn a_dump_that_cannot_begin_is_the_last() {
        // Opening needs no permission, and asking for a dump needs none until the answer is read.
        let Ok(client) = Client::open() else { return };
        let socket = client.connection.transport().open_another().unwrap().that_cannot_be_renewed().unwrap();
        let mut connection = Connection::new(socket, None);
        // Given up: what is asked next wants another socket.
        let _ = connection.start(&DumpFlows::new()).unwrap();
        let filter = Filter::everything();
        let families = [Family::IPV4, Family::IPV6].map(KernelFilter::of_family);
        let mut flows = FilteredDump::new(&filter, families.into(), &mut connection);
        assert_eq!(flows.next().unwrap().unwrap_err().kind(), crate::ErrorKind::Io);
        assert!(flows.next().is_none());
    }
}
