"""SpeechWindows and FaceCoefficients come in; Expression and HeadPose tracks go out."""
