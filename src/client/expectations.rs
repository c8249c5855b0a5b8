//! Expectations: get, create, delete.

use super::Client;
use crate::{
    error::Error,
    exchange::complete,
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
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{Tuple, request::ExpectationKey};
    ///
    /// let key = ExpectationKey::new(Tuple::tcp("10.0.0.1:0".parse()?, "10.0.0.2:40021".parse()?));
    /// if let Some(expectation) = client.get_expectation(key)? {
    ///     println!("{expectation}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<Option<Expectation>, Error> {
        complete(self.get_expectation_async(key.into()))
    }

    pub(crate) async fn get_expectation_async(&mut self, key: ExpectationKey) -> Result<Option<Expectation>, Error> {
        match self.connection.fetch(&GetExpectation(key), Expectation::decode).await {
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
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{Expectation, Tuple};
    ///
    /// let master = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:21".parse()?);
    /// let expected = Tuple::tcp("10.0.0.1:0".parse()?, "10.0.0.2:40021".parse()?);
    /// let mask = Tuple::tcp("255.255.255.255:0".parse()?, "255.255.255.255:65535".parse()?);
    /// let mut expectation = Expectation::new(master, expected, mask);
    /// expectation.helper = Some("ftp".into());
    /// client.create_expectation(&expectation)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_expectation(&mut self, expectation: &Expectation) -> Result<(), Error> {
        self.execute(&CreateExpectation::new(expectation))
    }

    /// Deletes one expectation.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) if there is no such expectation.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{Tuple, request::ExpectationKey};
    ///
    /// let key = ExpectationKey::new(Tuple::tcp("10.0.0.1:0".parse()?, "10.0.0.2:40021".parse()?));
    /// client.delete_expectation(key)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<(), Error> {
        self.execute(&DeleteExpectation(key.into()))
    }

    /// Deletes every expectation of a helper. It is not an error if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// client.delete_expectations_of("ftp")?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn delete_expectations_of(&mut self, helper: &str) -> Result<(), Error> {
        self.execute(&DeleteExpectationsOf(helper))
    }

    /// Deletes every expectation of the network namespace, of both families.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// client.delete_all_expectations()?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn delete_all_expectations(&mut self) -> Result<(), Error> {
        self.execute(&FlushExpectations)
    }
}
