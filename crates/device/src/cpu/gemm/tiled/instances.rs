//! Tile and packing, compiled for each instruction set.

use super::super::element::Element;
#[cfg(target_arch = "x86_64")]
use super::super::lanes::{Avx2, Avx512};
use super::super::lanes::{InstructionSet, Lanes, Portable, Widen};
use super::pack::{Straight, Turn, straight, turn};
use super::tile::{Direct, Factor, NOTHING_TOUCHES, Packed, ROWS_TOUCH, STEPS_TOUCH, Tile, tile};

pub type Kernel<W> = unsafe fn(&W);

/// The instances for one instruction set.
pub struct Kernels<T: Element> {
    /// Rows of a tile and its kernels, the largest first, one row last.
    pub tiles: &'static [usize],
    /// By what lies side by side in A.
    pub direct: [[Kernel<Tile<T, Direct<T>>>; 5]; 3],
    pub packed: [Kernel<Tile<T, Packed<T::Acc>>>; 5],
    pub turn: Kernel<Turn<T>>,
    pub straight: Kernel<Straight<T>>,
    /// Numbers of a vector.
    pub width: usize,
}

pub trait Tiled: Element {
    fn kernels(set: InstructionSet) -> Kernels<Self>;
}

/// A module of instances: functions compiled with the features of an instruction set.
macro_rules! instances {
    ($module:ident, $lanes:ident, ($($feature:literal),*), [$($rows:literal),*]) => {
        mod $module {
            use super::*;

            /// # Safety
            /// As [`tile`].
            $(#[target_feature(enable = $feature)])*
            unsafe fn tile_instance<T: Element, A: Factor<T::Acc>, const ROWS: usize, const LIES: u8>(t: &Tile<T, A>)
            where
                $lanes: Lanes<T::Acc>,
            {
                // SAFETY: the caller's contract is the same.
                unsafe { tile::<T, $lanes, A, ROWS, LIES>(t) }
            }

            /// # Safety
            /// As [`turn`].
            $(#[target_feature(enable = $feature)])*
            unsafe fn turn_instance<T: Element>(t: &Turn<T>)
            where
                $lanes: Widen<T>,
            {
                // SAFETY: the caller's contract is the same.
                unsafe { turn::<T, $lanes>(t) }
            }

            /// # Safety
            /// As [`straight`].
            $(#[target_feature(enable = $feature)])*
            unsafe fn straight_instance<T: Element>(t: &Straight<T>)
            where
                $lanes: Widen<T>,
            {
                // SAFETY: the caller's contract is the same.
                unsafe { straight::<T, $lanes>(t) }
            }

            pub fn kernels<T: Element>() -> Kernels<T>
            where
                $lanes: Widen<T>,
            {
                Kernels {
                    tiles: &[$($rows),*],
                    direct: [
                        [$(tile_instance::<T, Direct<T>, $rows, ROWS_TOUCH>),*],
                        [$(tile_instance::<T, Direct<T>, $rows, STEPS_TOUCH>),*],
                        [$(tile_instance::<T, Direct<T>, $rows, NOTHING_TOUCHES>),*],
                    ],
                    packed: [$(tile_instance::<T, Packed<T::Acc>, $rows, ROWS_TOUCH>),*],
                    turn: turn_instance::<T>,
                    straight: straight_instance::<T>,
                    width: <$lanes as Lanes<T::Acc>>::WIDTH,
                }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
instances!(avx512, Avx512, ("avx512f", "avx2", "fma"), [12, 8, 4, 2, 1]);
#[cfg(target_arch = "x86_64")]
instances!(avx2, Avx2, ("avx2", "fma", "f16c"), [6, 4, 3, 2, 1]);
instances!(portable, Portable, (), [4, 4, 3, 2, 1]);

macro_rules! tiled {
    ($($t:ty),*) => {
        $(impl Tiled for $t {
            fn kernels(set: InstructionSet) -> Kernels<$t> {
                match set {
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx512 => avx512::kernels(),
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx2 => avx2::kernels(),
                    InstructionSet::Portable => portable::kernels(),
                }
            }
        })*
    };
}
tiled!(f32, f64, half::f16, half::bf16);
