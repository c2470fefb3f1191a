# Every target is one line of Python, so it runs without make too, on Windows as well:
#     python -m tests.comfyui demo
# Variables go to it through the environment: make demo PORTRAIT="my face.jpg" VOICE=hello.wav OUT=talk.mp4
# COMFYUI_DIR=folder uses a ComfyUI that is there already. make test NUMPY=1.26 runs the tests with that numpy.

ifeq ($(OS),Windows_NT)
RUN ?= python
else
RUN ?= python3
endif
export PORTRAIT VOICE OUT WORKFLOW REFERENCE PORT NUMPY COMFYUI_DIR COMFYUI_PYTHON VECTORS SEED PORTRAITS VOICES BESIDE QUICK

.PHONY: demo serve setup test test-quick coverage parity lint validators judges bench fuzz eval-mini train-mini

demo:
	$(RUN) -m tests.comfyui demo

serve:
	$(RUN) -m tests.comfyui serve

setup:
	$(RUN) -m tests.comfyui setup

test:
	$(RUN) -m tests.comfyui test

test-quick:
	$(RUN) -m tests.comfyui test-quick

coverage:
	$(RUN) -m tests.comfyui coverage

parity:
	$(RUN) -m tests.comfyui parity

lint:
	$(RUN) -m tests.comfyui lint

validators:
	$(RUN) -m tests.comfyui validators

judges: validators  # its older name

bench:
	$(RUN) -m tests.comfyui bench

fuzz:
	$(RUN) -m tests.comfyui fuzz

eval-mini:
	$(RUN) -m tests.comfyui eval-mini

train-mini:
	$(RUN) -m tests.comfyui train-mini
