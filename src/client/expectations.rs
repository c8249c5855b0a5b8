//! Expectations: get, dump, create, delete.

use super::{Client, ExpectationDump};
use crate::{
    error::Error,
    model::Expectation,
    request::{
        CreateExpectation, DeleteExpectation, DeleteExpectationsOf, DumpExpectations, ExpectationKey,
        FlushExpectations, GetExpectation,
    },
};

impl Client {
    /// The expectation of that key; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn get_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<Option<Expectation>, Error> {
        match self.connection.fetch(&GetExpectation(key.into()), Expectation::decode) {
            Err(error) if error.is_not_found() => Ok(None),
            other => other,
        }
    }

    /// The expectations that a request asks for: all, those of a family, or those of a master.
    ///
    /// # Errors
    ///
    /// Where the request cannot be sent. That the kernel refuses is an item of the dump.
    pub fn dump_expectations(&mut self, request: &DumpExpectations) -> Result<ExpectationDump<'_>, Error> {
        let replies = self.connection.start(request)?;
        Ok(ExpectationDump::new(replies, &mut self.connection))
    }

    /// Creates an expectation. Its master must be in the table and have a helper.
    ///
    /// # Errors
    ///
    /// [`is_already_exists`](Error::is_already_exists) where there is such an expectation,
    /// [`is_not_found`](Error::is_not_found) where the master is not in the table; see
    /// [`KernelError::meaning`](crate::KernelError::meaning) for the others.
    pub fn create_expectation(&mut self, expectation: &Expectation) -> Result<(), Error> {
        self.execute(&CreateExpectation::new(expectation))
    }

    /// Deletes one expectation.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) where there is no such expectation.
    pub fn delete_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<(), Error> {
        self.execute(&DeleteExpectation(key.into()))
    }

    /// Deletes every expectation of a helper. That there was none is no error.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn delete_expectations_of(&mut self, helper: &str) -> Result<(), Error> {
        self.execute(&DeleteExpectationsOf(helper))
    }

    /// Deletes every expectation of the namespace, of both families.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn flush_expectations(&mut self) -> Result<(), Error> {
        self.execute(&FlushExpectations)
    }
}
