//! Lists of fixed size. What `heapless` offers to remove an element links memmove and a panic.

use heapless::Vec;

pub(super) type Table<T, const N: usize> = Vec<T, N, u16>;

/// Removes the element at `index`, which is in the list, and moves up those behind it.
pub(super) fn remove<T, const N: usize>(table: &mut Table<T, N>, index: usize) -> Option<T> {
    let mut carried = table.pop()?;
    for place in table.iter_mut().skip(index).rev() {
        carried = core::mem::replace(place, carried);
    }
    Some(carried)
}

/// Removes the first element that is wanted.
pub(super) fn take<T, const N: usize>(table: &mut Table<T, N>, wanted: impl FnMut(&T) -> bool) -> Option<T> {
    let index = table.iter().position(wanted)?;
    remove(table, index)
}
