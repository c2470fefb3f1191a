"""A waveform comes in, SpeechWindows go out."""
