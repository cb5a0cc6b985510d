// Launches that overlap (programmatic dependent launch): the next one begins while this one works, and waits
// where it needs what those ahead of it leave behind.
#pragma once

__device__ __forceinline__ void launch_next() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// Until the launches ahead have ended and what they wrote can be seen. Before it nothing may be written, and
// nothing read but what is settled: operands that no launch writes which may still be running.
__device__ __forceinline__ void wait_for_launches() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
