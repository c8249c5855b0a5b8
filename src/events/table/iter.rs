//! A walk over the flows of a table.

use super::{FlowTable, TableEntry, slab::Records, store::Store};

/// The flows of a [`FlowTable`], in no particular order.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowTable, Protocol};
///
/// let table = FlowTable::new();
/// assert_eq!(table.iter().filter(|entry| entry.protocol() == Protocol::UDP).count(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct TableIter<'t> {
    records: Records<'t>,
    left: usize,
}

impl<'t> TableIter<'t> {
    pub(super) fn new(store: &'t Store) -> Self {
        Self { records: store.records(), left: store.len() }
    }
}

impl<'t> Iterator for TableIter<'t> {
    type Item = TableEntry<'t>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        self.left -= 1;
        Some(TableEntry(record))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for TableIter<'_> {}

impl<'t> IntoIterator for &'t FlowTable {
    type Item = TableEntry<'t>;
    type IntoIter = TableIter<'t>;

    fn into_iter(self) -> TableIter<'t> {
        self.iter()
    }
}
