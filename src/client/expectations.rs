//! Expectations: get, create, delete.

use super::Client;
use crate::{
    error::Error,
    model::Expectation,
    request::{
        CreateExpectation, DeleteExpectation, DeleteExpectationsOf, ExpectationKey, FlushExpectations, GetExpectation,
    },
};

impl Client {
    /// Returns the expectation of a key, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    pub fn get_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<Option<Expectation>, Error> {
        match self.connection.fetch(&GetExpectation(key.into()), Expectation::decode) {
            Err(error) if error.is_not_found() => Ok(None),
            other => other,
        }
    }

    /// Creates an expectation. Its master must be in the table and have a helper.
    ///
    /// # Errors
    ///
    /// [`is_already_exists`](Error::is_already_exists) if there is such an expectation,
    /// [`is_not_found`](Error::is_not_found) if the master is not in the table; see
    /// [`KernelError::meaning`](crate::KernelError::meaning) for the others.
    pub fn create_expectation(&mut self, expectation: &Expectation) -> Result<(), Error> {
        self.execute(&CreateExpectation::new(expectation))
    }

    /// Deletes one expectation.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) if there is no such expectation.
    pub fn delete_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<(), Error> {
        self.execute(&DeleteExpectation(key.into()))
    }

    /// Deletes every expectation of a helper. It is not an error if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    pub fn delete_expectations_of(&mut self, helper: &str) -> Result<(), Error> {
        self.execute(&DeleteExpectationsOf(helper))
    }

    /// Deletes every expectation of the network namespace, of both families.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    pub fn delete_all_expectations(&mut self) -> Result<(), Error> {
        self.execute(&FlushExpectations)
    }
}
