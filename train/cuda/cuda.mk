# CUDA: which toolkit, which cuDNN, and how .cu files are compiled. Included by the Makefile.
#
# WITH_CUDA   auto (yes when nvcc and cudnn.h are found), yes, no
# CUDA_HOME   the toolkit: bin/nvcc, include, lib64
# CUDNN_ROOT  cuDNN: include/cudnn.h and lib or lib64 with libcudnn.so.9; default: CUDA_HOME
# NVCC_CCBIN  nvcc's compiler for the host, one that it knows
# CUDA_ARCHS  compute capabilities that get machine code; the last one's PTX goes along
#
# Only the runtime is linked, as a static library that looks for the driver when it is first
# used. cuDNN is loaded when a GPU is asked for, from the run path set here or as the system
# finds it, so the tools start, and train on the CPU, where neither is installed.

WITH_CUDA  ?= auto
CUDA_HOME  ?= /usr/local/cuda
CUDNN_ROOT ?= $(CUDA_HOME)
CUDA_ARCHS ?= 80 90 100
NVCC_CCBIN ?= g++
NVCC       := $(CUDA_HOME)/bin/nvcc

HAVE_CUDA := $(if $(filter auto,$(WITH_CUDA)),$(if $(and $(wildcard $(NVCC)),$(wildcard $(CUDA_HOME)/lib*/libcudart_static.a),$(wildcard $(CUDNN_ROOT)/include/cudnn.h)),yes,no),$(WITH_CUDA))

ifeq ($(HAVE_CUDA),yes)
comma := ,
first_dir = $(patsubst %/,%,$(dir $(firstword $(wildcard $(1)))))
CUDNN_LIB := $(call first_dir,$(CUDNN_ROOT)/lib64/libcudnn.so.9 $(CUDNN_ROOT)/lib/libcudnn.so.9)
CUDA_LIB  := $(call first_dir,$(CUDA_HOME)/lib64/libcudart_static.a $(CUDA_HOME)/lib/libcudart_static.a)

# What ptxas says of registers and spills stays beside the object, for a test to read. No
# contraction to FMA here either: the kernels compute what the CPU computes.
NVCCFLAGS    ?= -O3 -lineinfo
CUDA_GENCODE := $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) \
                -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS))
RQ_NVCCFLAGS := -std=c++17 -Xptxas -v -fmad=false -I. -Werror all-warnings \
                -Xcompiler -fPIE,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics,-Wall,-Wextra,-Wno-unused-parameter

RQ_DEFS          += -DRQ_HAVE_CUDA
RQ_CUDA_CPPFLAGS := $(foreach d,$(sort $(CUDNN_ROOT) $(CUDA_HOME)),-isystem $(d)/include)
RQ_CUDA_LDFLAGS  := $(if $(CUDNN_LIB),-Wl$(comma)-rpath$(comma)$(CUDNN_LIB))
RQ_CUDA_LDLIBS   := $(CUDA_LIB)/libcudart_static.a -ldl -lrt

$(O)/librq_train.a: $(patsubst %.c,$(O)/%.o,$(wildcard train/cuda/*.c)) \
                    $(patsubst %.cu,$(O)/%.o,$(wildcard train/cuda/*.cu))

$(O)/tests/gpu_%: $(O)/tests/gpu/gpu_%.o $(foreach r,train augment pack ingest common,$(O)/librq_$(r).a)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$(Q)$(CC) $(RQ_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RQ_LDLIBS) $(LDLIBS)

$(O)/%.o: %.cu
	@mkdir -p $(@D)
	$(if $(V),,@echo "  NVCC $<")
	$(Q)$(NVCC) -ccbin $(NVCC_CCBIN) $(NVCCFLAGS) $(RQ_NVCCFLAGS) $(CUDA_GENCODE) -MMD -MP -c -o $@ $< \
	  >$(@:.o=.ptxas) 2>&1 || { cat $(@:.o=.ptxas); false; }
endif

.PHONY: gpu-plan
gpu-plan: deps ## what the networks ask of a GPU, without one: engines, memory, batches
ifeq ($(HAVE_CUDA),yes)
	$(Q)$(MAKE) --no-print-directory $(O)/tests/gpu_plan
	$(Q)$(O)/tests/gpu_plan $(if $(DEVICE),$(DEVICE),tests/gpu/h200_devprop.json)
else
	@echo "gpu-plan: skipped, no CUDA toolkit with cuDNN in $(CUDA_HOME); set CUDA_HOME and CUDNN_ROOT"
endif
