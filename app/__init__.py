"""Every surface: the web app, the command line and the build that joins the packages."""
