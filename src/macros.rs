//! What every layer needs and none owns: how types show themselves, and lines of the log.

/// Implements `Debug`, and `defmt::Format` alike, or one of them, for a struct by what is shown for each field. What
/// nobody should find in a log stands there as [`Bytes`] or [`Hidden`].
macro_rules! shows {
    (impl[$($generics:tt)*] $name:ident for $type:ty $(where $bound:ident)?, |$this:ident| $fields:tt) => {
        $crate::macros::shows! { Debug: impl[$($generics)*] $name for $type $(where $bound)?, |$this| $fields }
        $crate::macros::shows! { Format: impl[$($generics)*] $name for $type $(where $bound)?, |$this| $fields }
    };
    (
        Debug: impl[$($generics:tt)*] $name:ident for $type:ty $(where $bound:ident)?,
        |$this:ident| { $($field:ident: $shown:expr),+ $(,)? }
    ) => {
        impl<$($generics)*> core::fmt::Debug for $type $(where $bound: core::fmt::Debug)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let $this = self;
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &$shown))+.finish()
            }
        }
    };
    (
        Format: impl[$($generics:tt)*] $name:ident for $type:ty $(where $bound:ident)?,
        |$this:ident| { $($field:ident: $shown:expr),+ $(,)? }
    ) => {
        #[cfg(feature = "defmt")]
        impl<$($generics)*> defmt::Format for $type $(where $bound: defmt::Format)? {
            #[allow(non_camel_case_types, reason = "each field's type has the field's name")]
            fn format(&self, f: defmt::Formatter<'_>) {
                // Of the same name and fields, so that the text is made once, at compile time.
                #[derive(defmt::Format)]
                struct $name<$($field),+> {
                    $($field: $field),+
                }

                let $this = self;
                // Never by `format`, which a derived form does not have.
                defmt::write!(f, "{}", $name { $($field: $shown),+ });
            }
        }
    };
}

pub(crate) use shows;

/// Logs one event, in one line, by `defmt` and by `log`, whichever are features; nothing is left of it without them. A
/// payload or a secret is never an argument.
macro_rules! event {
    ($level:ident, $text:literal $(, $argument:expr)* $(,)?) => {{
        #[cfg(feature = "defmt")]
        defmt::$level!($text $(, $argument)*);
        #[cfg(feature = "log")]
        log::$level!($text $(, $argument)*);
        // What is only there to be logged counts as used without these features, too.
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        let _ = || {
            $( let _ = &$argument; )*
        };
    }};
}

pub(crate) use event;

/// As `event`, of one desktop client among many, which only `log` hears of.
#[cfg(feature = "std")]
macro_rules! client_event {
    ($client_id:expr, $level:ident, $text:literal $(, $argument:expr)* $(,)?) => {{
        #[cfg(feature = "log")]
        log::$level!(concat!("client {:?}: ", $text), $client_id $(, $argument)*);
        #[cfg(not(feature = "log"))]
        let _ = || {
            let _ = &$client_id;
            $( let _ = &$argument; )*
        };
    }};
}

#[cfg(feature = "std")]
pub(crate) use client_event;

/// Makes handles equal that are clones of one, for a tuple struct of an `Arc`.
#[cfg(feature = "std")]
macro_rules! equal_if_clones {
    ($type:ident) => {
        impl PartialEq for $type {
            /// Whether both are clones of one.
            fn eq(&self, other: &Self) -> bool {
                std::sync::Arc::ptr_eq(&self.0, &other.0)
            }
        }

        impl Eq for $type {}
    };
}

#[cfg(feature = "std")]
pub(crate) use equal_if_clones;

/// As `equal_if_clones`, for what `Debug` shows by its name alone.
#[cfg(feature = "std")]
macro_rules! opaque {
    ($type:ident) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($type))
            }
        }

        $crate::macros::equal_if_clones! { $type }
    };
}

#[cfg(feature = "std")]
pub(crate) use opaque;

/// Stands for bytes of the application's, by their number.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(dead_code, reason = "it is only shown")]
pub(crate) struct Bytes(pub(crate) usize);

/// Stands for a secret.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Hidden;
