#!/bin/sh
# NVIDIA's compute-sanitizer over a problem of each CUDA variant: memcheck (accesses outside of allocations, misaligned
# ones) and racecheck (hazards in shared memory). Each tool is first shown a kernel with a fault that it must see.
#
#   pip install nvidia-cuda-sanitizer-api     # in an environment of its own; or a CUDA toolkit
#   tools/sanitize.sh SMITH COMPUTE_SANITIZER [OUT]        # from the root of a checkout, on a machine with a GPU
#
# Ends with 1 where a tool finds something in a kernel that ships, or does not see its fault. OUT gets what they print.
set -u
# By its whole path: the sanitizer was seen not to start a program named by a relative one.
smith=$(realpath "$1") sanitizer=$2 out=${3:-sanitized}
mkdir -p "$out/faults/gemm"
failed=0

# watch TOOL NAME OP PROBLEM [ARGUMENT…]: ends with what the sanitizer says, 9 where it found something.
watch() {
    tool=$1 name=$2 op=$3 problem=$4
    shift 4
    "$sanitizer" --tool "$tool" --target-processes all --error-exitcode 9 --print-limit 20 \
        "$smith" check "$op" --problem "$problem" --device cuda:0 --brief --limit 280s "$@" < /dev/null > "$out/$tool-$name.txt" 2>&1
}

# A manifest of one variant, its source with a fault.
plant() {
    sed "$2" "kernels/gemm/$1.cu" > "$out/faults/gemm/$1.cu"
    awk -v name="$1" 'BEGIN { RS = "\\[\\[variant\\]\\]\n" } $0 ~ "name    = \"" name "\"\n" && /target  = "cuda"/ { print "[[variant]]\n" $0 }' \
        kernels/gemm/manifest.toml | sed '/^# WGSL/,$d' > "$out/faults/gemm/manifest.toml"
}

plant naive 's/const T\* pa = a.at(z, row, 0);/const T* pa = a.at(z, row, 0) + (1ll << 35);/'
watch memcheck planted gemm m=70,n=40,k=33,dtype=f32 --kernels "$out/faults" --candidate naive
if grep -q "Invalid __global__ read" "$out/memcheck-planted.txt"; then echo "memcheck sees its fault"; else
    echo "memcheck does not see its fault" && failed=1; fi
plant simt 's/__syncthreads();/__syncwarp();/'
watch racecheck planted gemm m=200,n=200,k=300,dtype=f32 --kernels "$out/faults" --candidate simt
if grep -qi "hazard" "$out/racecheck-planted.txt"; then echo "racecheck sees its fault"; else
    echo "racecheck does not see its fault" && failed=1; fi

while read -r name op problem; do
    [ -z "$name" ] && continue
    for tool in memcheck racecheck; do
        watch "$tool" "$name" "$op" "$problem"
        rc=$?
        found=$(grep -h "ERROR SUMMARY\|RACECHECK SUMMARY" "$out/$tool-$name.txt" | tail -1)
        echo "$tool $op $problem: rc=$rc ${found#=========}"
        [ "$rc" -ne 0 ] && failed=1
    done
done <<'END'
rows1 gemm m=1,n=200,k=264,dtype=f16,layout=nt,epilogue=bias
rows16 gemm m=13,n=200,k=520,dtype=f16,layout=nt
half gemm m=200,n=136,k=264,dtype=bf16,layout=nt,epilogue=bias+relu
half_tn gemm m=200,n=136,k=264,dtype=f16,layout=tn
packed gemm m=200,n=137,k=263,dtype=f16,layout=nn
single gemm m=100,n=72,k=204,dtype=f32,layout=nt
double gemm m=70,n=40,k=65,dtype=f64
tf32 gemm m=200,n=136,k=264,dtype=f32,compute=tf32,layout=nt
f32x3 gemm m=200,n=136,k=264,dtype=f32,compute=f32x3
fp8 gemm m=200,n=136,k=272,dtype=f16,inputs=e4m3,layout=nt
fp8_fast gemm m=200,n=136,k=272,dtype=f16,inputs=e4m3,compute=fast,layout=nt
map map shape=70x1001,expr=mul(silu(x0),x1),x0=f16,x1=f16,out=f16
map_strided map shape=70x101,expr=add(x0,x1),x0=f32@0:1:70,x1=f32,out=f32
sum reduce kind=sum,outer=70,inner=1001,x0=f32,out=f32
sum_columns reduce kind=sum,outer=101,inner=70,x0=f32@0:1:101,out=f32
sum_all reduce kind=sum,outer=scalar,inner=100003,x0=f16,out=f16
softmax row kind=softmax,rows=33,columns=1029,x0=f16,out=f16
layer_norm row kind=layer_norm,rows=7,columns=33000,eps=1e-5,x0=f32,out=f32
gather gather shape=100x896,axis=0,size=1000,x=bf16,index=i32@0:1:0,out=bf16
gather_elements gather shape=31x129,axis=1,size=200,x=f32,index=i32,out=f32
scatter_rows scatter_add shape=100x128,axis=0,size=37,x=f32,index=i32@0:1:0,out=f32
scatter scatter_add shape=31x129,axis=1,size=17,x=f16,index=i32,out=f16
flash attention heads=4,kv_heads=2,queries=70,keys=150,head=64,dtype=f16,causal=1
decoding attention heads=8,kv_heads=2,queries=1,keys=605,head=64,dtype=f16
attention attention heads=2,queries=9,keys=70,head=20,dtype=f32,causal=1
END
exit $failed
