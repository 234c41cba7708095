/// The commands of a session and what else both clients offer. `$time` is how a client comes to the time: from its
/// caller, who then passes it, or from its clock.
macro_rules! commands {
    (|$this:ident $(, $now:ident: $instant:ty)?| $time:expr) => {
        /// Begins a connection over the transport, which has to be open (section 3.1). CONNECT leaves, and CONNACK is
        /// awaited, by polling. The session goes on where its last connection has ended, unless `options` say
        /// otherwise.
        ///
        /// # Errors
        /// As [`Session::connect`].
        pub fn connect(&mut self, $($now: $instant,)? options: &ConnectOptions<'_>) -> Result<(), Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.connect(now, options)?;
            event!(debug, "connecting as {}", options.client_id);
            Ok(())
        }

        /// Publishes a message (section 3.3). At QoS 1 and 2 it is kept, and sent again after a resume, until the
        /// server has it; its end comes as [`Event::Published`] with the identifier that this returns, or by
        /// [`Client::poll_dropped`].
        ///
        /// # Errors
        /// As [`Session::publish`].
        pub fn publish(
            &mut self,
            $($now: $instant,)?
            message: &ApplicationMessage<'_>,
        ) -> Result<Option<PacketId>, Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.publish(now, message)
        }

        /// Subscribes (section 3.8). Answered by [`Event::Subscribed`]; forgotten if the connection ends before that.
        ///
        /// # Errors
        /// As [`Session::subscribe`].
        pub fn subscribe(
            &mut self,
            $($now: $instant,)?
            subscriptions: &[Subscription<'_>],
            properties: &[Property<'_>],
        ) -> Result<PacketId, Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.subscribe(now, subscriptions, properties)
        }

        /// Unsubscribes (section 3.10). Answered by [`Event::Unsubscribed`]; forgotten if the connection ends before
        /// that.
        ///
        /// # Errors
        /// As [`Session::unsubscribe`].
        pub fn unsubscribe(
            &mut self,
            $($now: $instant,)?
            filters: &[&str],
            properties: &[Property<'_>],
        ) -> Result<PacketId, Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.unsubscribe(now, filters, properties)
        }

        /// Acknowledges a received message, where the configuration says that the caller does so.
        ///
        /// # Errors
        /// As [`Session::acknowledge`].
        pub fn acknowledge(&mut self, $($now: $instant,)? receipt: Receipt, code: ReasonCode) -> Result<(), Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.acknowledge(now, receipt, code)
        }

        /// Sends an AUTH: an answer to [`Event::Auth`], or a re-authentication (v5.0 section 4.12).
        ///
        /// # Errors
        /// As [`Session::authenticate`].
        pub fn authenticate(&mut self, $($now: $instant,)? auth: &Auth<'_>) -> Result<(), Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.authenticate(now, auth)
        }

        /// Sends a PINGREQ, answered by [`Event::PingResponse`]. Those of the keep-alive go out by themselves.
        ///
        /// # Errors
        /// As [`Session::ping`].
        pub fn ping(&mut self, $($now: $instant,)?) -> Result<(), Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.ping(now)
        }

        /// Ends the connection by a DISCONNECT (section 3.14). Poll on until [`Error::Closed`], then close the
        /// transport.
        ///
        /// # Errors
        /// As [`Session::disconnect`].
        pub fn disconnect(&mut self, $($now: $instant,)? disconnect: &Disconnect<'_>) -> Result<(), Misuse> {
            let $this = self;
            let now = $time;
            $this.driver.session.disconnect(now, disconnect)
        }

        /// A message that has ended without an answer of the server, see [`Session::poll_dropped`]. While there are
        /// some, no message of QoS 1 or 2 is sent: ask after each [`Event::Connected`], and where messages expire.
        #[must_use]
        pub fn poll_dropped(&mut self) -> Option<Dropped<S::Frame>> {
            let dropped = self.driver.session.poll_dropped()?;
            event!(warn, "message {} is dropped: {:?}", dropped.packet_id, dropped.reason);
            Some(dropped)
        }

        /// Hands in another transport, for the next [`Client::connect`], and gives the old one back. A connection
        /// that is still open ends as if it were lost: what is unacknowledged stays in the session.
        pub fn replace_transport(&mut self, $($now: $instant,)? transport: T) -> T {
            let $this = self;
            let now = $time;
            let _: Error<ErrorKind> = $this.driver.end(now, Error::Closed);
            core::mem::replace(&mut $this.transport, transport)
        }

        /// The transport, for what it offers of its own, such as to close it.
        pub const fn transport_mut(&mut self) -> &mut T {
            &mut self.transport
        }

        /// The session, for its state and its storage.
        pub const fn session(&self) -> &Session<S> {
            &self.driver.session
        }

        /// The session, for commands that this client does not have. Its inputs and transmissions belong to the client.
        pub const fn session_mut(&mut self) -> &mut Session<S> {
            &mut self.driver.session
        }
    };
}

pub(super) use commands;
