//! What every layer needs and none owns: how types show themselves, and lines of the log.

/// Implements `Debug`, and `defmt::Format` alike, for a struct by what is shown for each field. What nobody should find
/// in a log stands there as [`Bytes`] or [`Hidden`].
macro_rules! shows {
    (impl[$($generics:tt)*] $name:ident for $type:ty $(where $bound:ident)?, |$this:ident| { $($field:ident: $shown:expr),+ $(,)? }) => {
        impl<$($generics)*> core::fmt::Debug for $type $(where $bound: core::fmt::Debug)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let $this = self;
                $crate::macros::shows!(@proxy $name $($field)+; Debug);
                core::fmt::Debug::fmt(&$name { $($field: $shown),+ }, f)
            }
        }

        #[cfg(feature = "defmt")]
        impl<$($generics)*> defmt::Format for $type $(where $bound: defmt::Format)? {
            #[allow(non_camel_case_types, reason = "as in the proxy: what is derived for it inherits nothing from there")]
            fn format(&self, f: defmt::Formatter<'_>) {
                let $this = self;
                $crate::macros::shows!(@proxy $name $($field)+; defmt::Format);
                // Never by `format`, which a derived form does not have.
                defmt::write!(f, "{}", $name { $($field: $shown),+ });
            }
        }
    };
    // A local struct of the same name and fields, so that the derived form is that of the real one.
    (@proxy $name:ident $($field:ident)+; $derived:path) => {
        #[derive($derived)]
        #[allow(non_camel_case_types, dead_code, reason = "each field's type has the field's name, and is only shown")]
        struct $name<$($field),+> {
            $($field: $field),+
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

/// Stands for bytes of the application's, by their number.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(dead_code, reason = "it is only shown")]
pub(crate) struct Bytes(pub(crate) usize);

/// Stands for a secret.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Hidden;
