//! Lists of fixed size. What `heapless` offers to remove an element links memmove and a panic.

use core::cell::Cell;

use heapless::Vec;

pub(super) type Table<T, const N: usize> = Vec<T, N, u16>;

/// Removes the element at `index`, which is in the list, and moves up those behind it.
pub(super) fn remove<T: Copy, const N: usize>(table: &mut Table<T, N>, index: usize) -> Option<T> {
    let places = Cell::from_mut(table.get_mut(index..)?).as_slice_of_cells();
    let removed = places.first()?.get();
    for (to, from) in places.iter().zip(places.get(1..).unwrap_or_default()) {
        to.set(from.get());
    }
    table.pop();
    Some(removed)
}

/// Removes the first element that is wanted.
pub(super) fn take<T: Copy, const N: usize>(table: &mut Table<T, N>, wanted: impl FnMut(&T) -> bool) -> Option<T> {
    let index = table.iter().position(wanted)?;
    remove(table, index)
}
