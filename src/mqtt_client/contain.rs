//! Fences around the application's code, so that a panic there ends no thread that others need.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code that may be the application's. A panic comes back as its text.
pub(super) fn contain<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let text = text(&*panic).to_string();
        discard(panic);
        text
    })
}

/// Drops what may be the application's: its destructor may panic, and so may that of what it panics with.
pub(super) fn discard<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value)))
        && let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
    {
        // Whoever panics a third time has it never dropped.
        std::mem::forget(another);
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// Panics when it is dropped, with another one of a number less.
    struct Bomb(u32);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if let Some(less) = self.0.checked_sub(1) {
                panic_any(Self(less));
            }
        }
    }

    #[test]
    fn no_panic_passes_however_its_payload_is_dropped() {
        assert_eq!(contain(|| 1), Ok(1));
        assert_eq!(contain(|| panic!("with {}", 2)), Err::<(), _>("with 2".to_string()));
        assert_eq!(contain(|| panic!("plain")), Err::<(), _>("plain".to_string()));
        for bombs in 0..4 {
            assert_eq!(contain(|| panic_any(Bomb(bombs))), Err::<(), _>("no message".to_string()));
            discard(Bomb(bombs));
        }
    }
}
