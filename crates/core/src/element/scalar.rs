//! The numbers as records of one field without a name.

use super::{Element, Field};
use crate::DType;
use half::{bf16, f16};

macro_rules! scalar {
    ($($t:ty => $dtype:ident),*) => {$(
        impl Element for $t {
            const FIELDS: &'static [Field] = &[Field::scalar(DType::$dtype)];
            const SIZE: usize = size_of::<$t>();

            #[inline]
            fn write(&self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_ne_bytes());
            }

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$t>()];
                array.copy_from_slice(bytes);
                <$t>::from_ne_bytes(array)
            }

            fn bytes_of(records: &[Self]) -> Option<&[u8]> {
                Some(bytemuck::cast_slice(records))
            }

            fn bytes_of_mut(records: &mut [Self]) -> Option<&mut [u8]> {
                Some(bytemuck::cast_slice_mut(records))
            }

            fn read_vec(bytes: &[u8]) -> Vec<Self> {
                super::expansion::copied(bytes)
            }
        }
    )*};
}

scalar!(f32 => F32, f64 => F64, f16 => F16, bf16 => BF16, i32 => I32, u8 => U8);
